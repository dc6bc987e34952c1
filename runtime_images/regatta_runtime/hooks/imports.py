"""Calls back when a module has been imported, without importing it."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any, Callable, Dict, List, Optional

Hook = Callable[[ModuleType], None]

_wanted: Dict[str, List[Hook]] = {}
_before: Dict[str, List[Callable[[], None]]] = {}


def after_import(name: str, hook: Hook) -> None:
    """Call `hook(module)` right after `name` was first executed; a hook that fails is told of and left out."""
    _listen()
    _wanted.setdefault(name, []).append(hook)


def before_import(name: str, hook: Callable[[], None]) -> None:
    """Call `hook()` when `name` is looked for the first time, before anything of it is executed."""
    _listen()
    _before.setdefault(name, []).append(hook)


def _listen() -> None:
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def when_missing(name: str, call: Callable[[], None]) -> None:
    """Call when an import of `name` finds nothing; looking whether it is there is no import."""
    sys.meta_path.append(_LastFinder(name, call))


class _LastFinder:
    """Stands behind all finders, so what comes to it was found by none."""

    def __init__(self, name: str, call: Callable[[], None]) -> None:
        self._name = name
        self._call = call

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """None for every other module; the spec of a finder that was added later, if one knows it after all."""
        if name != self._name:
            return None
        for finder in sys.meta_path[sys.meta_path.index(self) + 1 :]:
            find = getattr(finder, "find_spec", None)
            spec = find(name, path, target) if find is not None else None
            if spec is not None:
                return spec
        if not _only_looking():
            self._call()
        return None


def _only_looking() -> bool:
    """Whether `importlib.util.find_spec` asks, which many libraries do to see what else is installed."""
    frame = sys._getframe(2)
    for _ in range(8):
        if frame is None:
            return False
        if frame.f_code.co_name == "find_spec" and frame.f_globals.get("__name__") == "importlib.util":
            return True
        frame = frame.f_back  # type: ignore[assignment]
    return False


class _Finder:
    """Lets the other finders find, and wraps the loader of what they found."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """The spec of a module that somebody waits for; None for all others, which then are found as ever."""
        for hook in _before.pop(name, ()):
            hook()
        if name not in _wanted:
            return None
        for finder in sys.meta_path:
            find = None if finder is self else getattr(finder, "find_spec", None)
            spec = find(name, path, target) if find is not None else None
            if spec is not None:
                if spec.loader is not None and hasattr(spec.loader, "exec_module"):
                    spec.loader = _Loader(spec.loader)
                return spec
        return None


class _Loader:
    """The module's own loader in everything but what comes after the execution."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: Any) -> Optional[ModuleType]:
        """As the module's own loader does it."""
        return self._loader.create_module(spec)  # type: ignore[no-any-return]

    def exec_module(self, module: ModuleType) -> None:
        """Execute it, leave no trace of ourselves in it, call the hooks."""
        spec = module.__spec__
        if spec is not None:
            spec.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        # Not before: who looks for a module may never execute it, as TensorFlow does with Keras, or fail to.
        for hook in _wanted.pop(module.__name__, ()):
            try:
                hook(module)
            except Exception as problem:  # a library that changed must not keep the program from running
                said = f"{type(problem).__name__}: {problem}"
                print(f"[regatta] no hook on {module.__name__}: {said}", file=sys.stderr, flush=True)
