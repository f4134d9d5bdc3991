"""I2I-Galip."""

__version__ = "0.1.0"
