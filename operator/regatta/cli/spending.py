"""What a job's ledger says in a few numbers: how much of what it held was worth it.

The ledger comes from the status, which anyone who may write to the cluster may have written: whatever is no amount of
time counts as none.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["FREE", "STATES", "Order", "Spending", "accelerators", "amounts", "spending"]

FREE: Final = frozenset({"queued", "restart_backoff"})
"""States in which a job holds nothing."""

STATES: Final[Mapping[str, str]] = {
    "step": "training steps that were new",
    "rework": "steps done again after a restart",
    "data_wait": "waiting for the next batch",
    "checkpoint_save": "saving checkpoints",
    "checkpoint_restore": "loading checkpoints",
    "eval": "evaluating",
    "compile": "from the first batch to the end of the first step",
    "rendezvous": "waiting for all processes to find each other",
    "init": "starting: imports, building the model",
    "image_pull": "pulling images",
    "gang_wait": "holding nodes while others were not there",
    "restart_backoff": "waiting for the next attempt",
    "terminating": "ending pods",
    "idle": "after the last step",
    "unmeasured": "nobody told what was done",
    "queued": "waiting for nodes, holding nothing",
}
"""The ledger's states, with what they mean; what trains first, what holds nothing last."""


class Order(enum.StrEnum):
    """By what jobs are compared."""

    GOODPUT = "goodput"
    DATA = "data"
    GPU = "gpu"
    WASTE = "waste"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """What a job held, and for how long it trained with it."""

    accelerators: int
    """Of all workers together."""
    workers: int
    held_seconds: float
    """In which the job held nodes."""
    step_seconds: float

    @property
    def waste_hours(self) -> float:
        """Hours of what was held and did not train: of each accelerator, or of each worker where there is none."""
        return max(0.0, self.held_seconds - self.step_seconds) * (self.accelerators or self.workers) / 3600

    @property
    def unit(self) -> str:
        """Of what the hours are."""
        return "GPU-h" if self.accelerators else "pod-h"


def spending(job: Mapping[str, Any]) -> Spending | None:
    """What a job has spent so far; None where its ledger says nothing."""
    ledger = amounts((job.get("status") or {}).get("ledger"))
    if not ledger:
        return None
    return Spending(
        accelerators=accelerators(job),
        workers=_count((job.get("spec") or {}).get("workers"), default=1),
        held_seconds=sum(seconds for state, seconds in ledger.items() if state not in FREE),
        step_seconds=ledger.get("step", 0.0),
    )


def accelerators(job: Mapping[str, Any]) -> int:
    """How many accelerators a job asks for, of all workers together."""
    spec = job.get("spec") or {}
    return _count(spec.get("workers"), default=1) * _count(spec.get("gpusPerWorker"), default=0)


def amounts(raw: object) -> dict[str, float]:
    """The ledger's seconds by state, known states first and in their order; what is no amount is left out."""
    if not isinstance(raw, Mapping):
        return {}
    sound = {str(state): float(seconds) for state, seconds in raw.items() if _is_amount(seconds)}
    order = {state: index for index, state in enumerate(STATES)}
    return dict(sorted(sound.items(), key=lambda item: (order.get(item[0], len(order)), item[0])))


def _is_amount(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 0


def _count(value: object, *, default: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31 else default
