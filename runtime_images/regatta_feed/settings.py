"""How a feed runs, beside what its pipeline says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["Settings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the command line says."""

    folder: Path
    queues: int = 1
    """Training processes of this machine."""
    first_rank: int = 0
    processes: int = 1
    slots: int = 4
    part: int = 16
    epochs: int | None = None
    fail_on_damage: bool = False
    stay: bool = False
    """Whether to go on when all training processes have read their last batch."""
    metrics_port: int | None = None
    sink: bool = False
    """Whether the feed takes the batches itself, to be measured."""
    storage_seconds: float = 60.0
    """That a storage on another machine may take for one object."""
