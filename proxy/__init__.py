"""The Greenlane proxy: everything that runs."""

__version__ = "0.1.0"
