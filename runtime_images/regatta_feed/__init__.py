"""The feed: reads samples, transforms them and hands finished batches to training processes in shared memory."""

__all__ = ["__version__"]

__version__ = "0.1.0"
