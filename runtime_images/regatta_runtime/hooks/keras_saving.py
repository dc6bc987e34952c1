"""Lets several processes save a model to one path at the same time, as the same script in each of them does.

Keras writes into the file that it was told. Two processes that do so leave a file that neither of them has written, and
one that is killed meanwhile leaves half of it. Here each writes a file of its own and gives it the name when it is
whole; which comes last does not matter, because all have the same model.
"""

from __future__ import annotations

import functools
import os
from typing import Any

SUFFIXES = (".keras", ".h5")


def wrap(keras: Any) -> None:
    """Do so in `model.save` and `model.save_weights`, which Keras's own callbacks use."""
    keras.Model.save = _whole(keras.Model.save)
    keras.Model.save_weights = _whole(keras.Model.save_weights)


def _whole(save: Any) -> Any:
    @functools.wraps(save)
    def saved(self: Any, filepath: Any, overwrite: bool = True, **others: Any) -> Any:
        path = os.fspath(filepath) if isinstance(filepath, (str, os.PathLike)) else ""
        folder, name = os.path.split(path)
        # Only where it is one file in a folder that is there; everything else is for Keras to complain about.
        simple = isinstance(path, str) and name.endswith(SUFFIXES) and os.path.isdir(folder or ".")
        if not simple or (os.path.exists(path) and not overwrite):
            return save(self, filepath, overwrite=overwrite, **others)
        part = os.path.join(folder, f".rank{os.environ['RANK']}-{name}")
        save(self, part, overwrite=True, **others)
        os.replace(part, path)
        return None

    return saved
