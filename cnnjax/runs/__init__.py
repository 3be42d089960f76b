"""Runs: a run folder opened, evaluated, averaged, converted and handed on.

Before it: training, which makes run folders; after it: report, which reads their files, and the rooms beside the
pipeline (explain, robustness), which take an opened run.
"""
