"""cnnjax: train, evaluate and ship convolutional image classifiers in JAX."""

__version__ = "0.1.0"
