"""`python -m regatta_runtime.install DEST`: lay the runtime's files out in DEST as its image has them.

For clusters that cannot mount an image as a volume: an init container runs this onto an emptyDir.
"""

from __future__ import annotations

import os
import shutil
import sys
from typing import List


def install(destination: str) -> List[str]:
    """Copy the package and the `__main__.py` above it; safe to run again, and never leaves half a file behind."""
    source = os.path.dirname(os.path.abspath(__file__))
    written = []
    for folder, folders, files in os.walk(source):
        folders[:] = sorted(f for f in folders if f != "__pycache__")
        inside = os.path.normpath(os.path.join("regatta_runtime", os.path.relpath(folder, source)))
        names = sorted(name for name in files if name.endswith(".py"))
        written += [_copy(os.path.join(folder, name), destination, os.path.join(inside, name)) for name in names]
    written.append(_copy(os.path.join(source, "_image_main.py"), destination, "__main__.py"))
    return written


def _copy(source: str, destination: str, path: str) -> str:
    target = os.path.join(destination, path)
    if not os.path.isdir(os.path.dirname(target)):
        os.makedirs(os.path.dirname(target))
        os.chmod(os.path.dirname(target), 0o755)
    shutil.copyfile(source, target + ".new")
    os.chmod(target + ".new", 0o644)  # whatever user the training container runs as must be able to read it
    os.replace(target + ".new", target)
    return path


def main(arguments: List[str]) -> int:
    """The command line: one folder."""
    if len(arguments) != 1:
        print("usage: python -m regatta_runtime.install DEST", file=sys.stderr)
        return 64
    try:
        files = install(arguments[0])
    except OSError as problem:
        print(f"regatta-runtime: cannot install into {arguments[0]}: {problem}", file=sys.stderr)
        return 1
    print(f"regatta-runtime: {len(files)} files in {arguments[0]}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
