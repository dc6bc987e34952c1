"""A small key-value store for rendezvous data: what GET, PUT and DELETE of /SCOPE/KEY work on."""

from __future__ import annotations

from typing import Dict, Optional, Tuple

ENTRY_LIMIT = 100_000
BYTES_LIMIT = 64 * 1024 * 1024


class StoreFullError(Exception):
    """The store takes no more."""


class Store:
    """Values by scope and key, bounded in number and size."""

    def __init__(self, *, entries: int = ENTRY_LIMIT, size: int = BYTES_LIMIT) -> None:
        self._values: Dict[Tuple[str, str], bytes] = {}
        self._entries = entries
        self._room = size

    def get(self, scope: str, key: str) -> Optional[bytes]:
        """The value, or None when there is none."""
        return self._values.get((scope, key))

    def put(self, scope: str, key: str, value: bytes) -> None:
        """Set a value; StoreFullError when it does not fit."""
        room = self._room + len(self._values.get((scope, key), b"")) - len(value)
        if room < 0 or ((scope, key) not in self._values and len(self._values) >= self._entries):
            raise StoreFullError(f"the store holds {len(self._values)} values and takes no more")
        self._values[scope, key] = value
        self._room = room

    def delete(self, scope: str, key: str) -> bool:
        """Drop a value; whether there was one."""
        value = self._values.pop((scope, key), None)
        self._room += len(value or b"")
        return value is not None

    def clear(self) -> None:
        """Drop everything: a new generation must not find what the old one left."""
        for scope, key in list(self._values):
            self.delete(scope, key)
