"""Regatta's runtime: what is added to a training container, and what a training script may call.

The launcher (`python -m regatta_runtime -- COMMAND`) starts and keeps the training processes. A script needs
nothing of it; one that wants to can say how far it is: `regatta_runtime.progress.report(step=7, total_steps=100)`.
Only the standard library is used, on Python 3.8 and later, and importing this package loads nothing else;
`regatta_runtime.caffe`, which makes torch modules of Caffe models, needs torch when it makes one.
"""

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    # `regatta_runtime.progress` after a plain `import regatta_runtime`, without paying for it in the launcher.
    if name == "progress":
        import importlib

        return importlib.import_module("regatta_runtime.progress")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
