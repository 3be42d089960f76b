"""Beside the pipeline, weights: published weights in other libraries' files <-> variables of the models here.

files (safetensors and PyTorch files as flat {name: array}) and hdf5 (Keras'), names (what the layers are called
elsewhere, one table a family), bridge (names and layouts applied, both ways), detect (what a file tells by itself).
Takes shapes from models; run.convert makes a run folder of the result.
"""
