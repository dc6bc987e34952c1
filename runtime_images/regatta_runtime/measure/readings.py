"""What a training process tells of itself, as its launcher keeps it: numbers that only grow, and a few newest ones."""

from __future__ import annotations

from typing import Any, Dict, Mapping, NamedTuple, Optional, Tuple

from regatta_runtime.measure.states import CHECKPOINT_RESTORE, CHECKPOINT_SAVE, STATES, STEP

LIMIT = 2**53
# Upper bounds in seconds; one more bucket is for all that took longer.
BOUNDS: Mapping[str, Tuple[float, ...]] = {
    STEP: (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 20.0),
    CHECKPOINT_SAVE: (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0),
    CHECKPOINT_RESTORE: (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0),
}
# Everything about a training that becomes a label is one of these words.
STRATEGIES = ("single", "ddp", "fsdp", "horovod", "keras", "mirrored", "multi_worker_mirrored", "other")
PRECISIONS = ("float32", "float64", "float16", "bfloat16", "mixed_float16", "mixed_bfloat16", "other")


class Histogram(NamedTuple):
    """How long some things took: the sum, and how many fell into each bucket of `BOUNDS`."""

    sum: float
    counts: Tuple[int, ...]


class About(NamedTuple):
    """What trains."""

    version: str = ""
    strategy: str = "other"
    precision: str = "other"


class Reading(NamedTuple):
    """What is known for certain so far; every number but the last ones only grows."""

    steps: int
    samples: int
    seconds: Dict[str, float]
    lost: int = 0  # of the steps, those that an earlier life of the training had done already
    durations: Mapping[str, Histogram] = {}
    global_step: Optional[int] = None  # steps of the whole training that are done; None where that is not known
    stepped_at: Optional[float] = None  # the wall clock's, like the next one
    saved_at: Optional[float] = None
    saved_bytes: Optional[int] = None

    def to_json(self, *, full: bool) -> Dict[str, Any]:
        """What is sent; the histograms only when `full`, for they are served for one rank of all."""
        told: Dict[str, Any] = {
            "steps": self.steps,
            "samples": self.samples,
            "seconds": {state: round(spent, 4) for state, spent in self.seconds.items()},
        }
        newest = {
            "lost": self.lost or None,
            "globalStep": self.global_step,
            "steppedAt": self.stepped_at and round(self.stepped_at, 3),
            "savedAt": self.saved_at and round(self.saved_at, 3),
            "savedBytes": self.saved_bytes,
        }
        told.update({name: value for name, value in newest.items() if value is not None})
        if full and self.durations:
            told["durations"] = {name: [round(h.sum, 4), *h.counts] for name, h in self.durations.items()}
        return told


EMPTY = Reading(0, 0, {})


def read(told: object) -> Optional[Reading]:
    """A process's own words; None where they make no sense, and without those of its parts that make none."""
    if not isinstance(told, dict):
        return None
    steps, samples, seconds = told.get("steps"), told.get("samples"), told.get("seconds")
    if not _whole(steps) or not _whole(samples) or not isinstance(seconds, dict):
        return None
    durations = told.get("durations")
    found = {name: _histogram(name, durations.get(name)) for name in BOUNDS} if isinstance(durations, dict) else {}
    return Reading(
        steps=int(steps),  # type: ignore[arg-type]
        samples=int(samples),  # type: ignore[arg-type]
        seconds={state: float(seconds[state]) for state in STATES if _number(seconds.get(state))},
        lost=told["lost"] if _whole(told.get("lost")) else 0,
        durations={name: histogram for name, histogram in found.items() if histogram is not None},
        global_step=told["globalStep"] if _whole(told.get("globalStep")) else None,
        stepped_at=float(told["steppedAt"]) if _number(told.get("steppedAt")) else None,
        saved_at=float(told["savedAt"]) if _number(told.get("savedAt")) else None,
        saved_bytes=told["savedBytes"] if _whole(told.get("savedBytes")) else None,
    )


def read_about(told: object) -> Optional[About]:
    """What trains, in words of closed sets; a version that does not look like one is left out."""
    if not isinstance(told, dict):
        return None
    strategy, precision = told.get("strategy"), told.get("precision")
    return About(
        version=plain_version(told.get("version")),
        strategy=strategy if strategy in STRATEGIES else "other",
        precision=precision if precision in PRECISIONS else "other",
    )


def plain_version(text: object) -> str:
    """The numbers of a version, without a build's name: 2.15.0 of 2.15.0+cu132; empty where it has none."""
    numbers = str(text).split("+", 1)[0].split(".")[:3]
    fine = numbers and all(n.isascii() and n.isdigit() and len(n) <= 4 for n in numbers)
    return ".".join(numbers) if fine else ""


def total(one: Reading, other: Reading) -> Reading:
    """Both together, with the newest that `other` knows."""
    states = one.seconds.keys() | other.seconds.keys()
    kinds = one.durations.keys() | other.durations.keys()
    return Reading(
        steps=one.steps + other.steps,
        samples=one.samples + other.samples,
        seconds={state: one.seconds.get(state, 0.0) + other.seconds.get(state, 0.0) for state in states},
        lost=one.lost + other.lost,
        durations={kind: _sum(one.durations.get(kind), other.durations.get(kind)) for kind in kinds},
        global_step=one.global_step if other.global_step is None else other.global_step,
        stepped_at=other.stepped_at or one.stepped_at,
        saved_at=other.saved_at or one.saved_at,
        saved_bytes=one.saved_bytes if other.saved_bytes is None else other.saved_bytes,
    )


def _sum(one: Optional[Histogram], other: Optional[Histogram]) -> Histogram:
    if one is None or other is None:
        return one or other or Histogram(0.0, ())
    return Histogram(one.sum + other.sum, tuple(a + b for a, b in zip(one.counts, other.counts)))


def _histogram(name: str, told: object) -> Optional[Histogram]:
    if not isinstance(told, list) or len(told) != len(BOUNDS[name]) + 2:
        return None
    if not _number(told[0]) or not all(_whole(count) for count in told[1:]):
        return None
    return Histogram(float(told[0]), tuple(told[1:]))


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < LIMIT


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < LIMIT
