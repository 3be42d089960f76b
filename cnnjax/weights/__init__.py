"""Beside the spine, weights: published weights in other libraries' files <-> variables of the models here.

files (safetensors, PyTorch and Keras files as flat {name: array}), names (what the layers are called elsewhere, one
table a family), bridge (names and layouts applied, both ways). Takes shapes from models; run.convert makes a run
folder of the result.
"""
