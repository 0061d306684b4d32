"""Makes a trained SqueezeNet tiny without losing accuracy, and proves the accuracy of the file."""

__version__ = "0.1.0"
