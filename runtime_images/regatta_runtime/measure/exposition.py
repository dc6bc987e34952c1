"""What was measured, in Prometheus' text format. Every label value is a number of ours or a word of a closed set."""

from __future__ import annotations

from typing import Dict, Iterable, List, Optional, Tuple

from regatta_runtime.measure.readings import BOUNDS, About, Histogram, Reading
from regatta_runtime.measure.states import CHECKPOINT_RESTORE, CHECKPOINT_SAVE, STATES, STEP

Labels = Dict[str, str]
Sample = Tuple[Labels, float]
OPERATIONS = {"save": CHECKPOINT_SAVE, "restore": CHECKPOINT_RESTORE}


def family(name: str, kind: str, text: str, samples: Iterable[Sample]) -> List[str]:
    """One metric's lines; none where it has no sample."""
    lines = [f"{name}{_labels(labels)} {_number(value)}" for labels, value in samples]
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}", *lines] if lines else []


def of_processes(total: Dict[int, Reading]) -> List[str]:
    """What every process of this worker told."""
    each = [({"rank": str(rank)}, reading) for rank, reading in total.items()]
    spent = [
        ({**labels, "state": state}, round(reading.seconds[state], 4))
        for labels, reading in each
        for state in STATES
        if state in reading.seconds
    ]
    stepped = [(labels, reading.stepped_at) for labels, reading in each if reading.stepped_at is not None]
    prefix = "regatta_runtime_"
    return [
        *family(
            f"{prefix}steps_total", "counter", "Steps that a process has done", [(n, float(r.steps)) for n, r in each]
        ),
        *family(
            f"{prefix}samples_total",
            "counter",
            "Samples that a process has trained on",
            [(n, float(r.samples)) for n, r in each],
        ),
        *family(f"{prefix}time_seconds_total", "counter", "Time of a process in exclusive states", spent),
        *family(f"{prefix}last_step_timestamp_seconds", "gauge", "When a process did its last step", stepped),
    ]


def of_the_training(reading: Optional[Reading], about: Optional[About], framework: str) -> List[str]:
    """What rank 0 told for all."""
    if reading is None:
        return []
    prefix, lines = "regatta_runtime_", []
    if about is not None:
        labels = {
            "framework": framework,
            "framework_version": about.version,
            "strategy": about.strategy,
            "precision": about.precision,
        }
        lines += family(f"{prefix}info", "gauge", "What trains", [(labels, 1.0)])
    lines += family(
        f"{prefix}global_step", "gauge", "Steps of the whole training that are done", _known(reading.global_step)
    )
    lines += family(
        f"{prefix}lost_steps_total",
        "counter",
        "Steps that were done again after a restart",
        [({}, float(reading.lost))] if reading.steps else [],
    )
    lines += histogram(
        f"{prefix}step_duration_seconds",
        "Duration of a step with its wait for data",
        [({}, BOUNDS[STEP], reading.durations[STEP])] if STEP in reading.durations else [],
    )
    checkpoints = [
        ({"operation": operation}, BOUNDS[state], reading.durations[state])
        for operation, state in OPERATIONS.items()
        if state in reading.durations
    ]
    lines += histogram(f"{prefix}checkpoint_duration_seconds", "Duration of saves and restores", checkpoints)
    lines += family(
        f"{prefix}checkpoint_last_success_timestamp_seconds",
        "gauge",
        "When a checkpoint was last saved",
        _known(reading.saved_at),
    )
    lines += family(
        f"{prefix}checkpoint_size_bytes", "gauge", "Size of the last checkpoint's file", _known(reading.saved_bytes)
    )
    return lines


def histogram(name: str, text: str, found: List[Tuple[Labels, Tuple[float, ...], Histogram]]) -> List[str]:
    """One metric with its buckets; no line where there is none."""
    lines = [f"# HELP {name} {text}", f"# TYPE {name} histogram"] if found else []
    for labels, bounds, told in found:
        below = 0
        for bound, count in zip((*map(_number, bounds), "+Inf"), told.counts):
            below += count
            lines.append(f"{name}_bucket{_labels({**labels, 'le': bound})} {below}")
        lines += [f"{name}_sum{_labels(labels)} {_number(told.sum)}", f"{name}_count{_labels(labels)} {below}"]
    return lines


def _known(value: Optional[float]) -> List[Sample]:
    return [] if value is None else [({}, float(value))]


def _labels(labels: Labels) -> str:
    return "{" + ",".join(f'{name}="{value}"' for name, value in labels.items()) + "}" if labels else ""


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) and abs(value) < 2**53 else repr(round(value, 6))
