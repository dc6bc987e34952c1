"""The jobs of a campaign: small crews that train for some seconds, most to a good end, some to a known bad one."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from tests.chaos.accounts import USER_ERROR, Account
from tests.cluster.kit import JobBuilder, job, program

__all__ = ["MANY", "PAUSE", "SIDECAR", "Plan", "draw"]

PAUSE: Final = 0.2
"""Seconds of a step, as programs/counts.py has it."""
MANY: Final = 50
"""A budget that no campaign uses up."""
SIDECAR: Final = "logger"
_SIDECAR_PROGRAM: Final = "import signal, sys; signal.signal(15, lambda *_: sys.exit(0)); signal.pause()"
_FAILS_AT: Final = 20
"""A step late enough for the crew not to take the program for one that dies at its start, and pause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A job to apply, and what has to become of it if it is left in peace."""

    kind: str
    manifest: dict[str, Any]
    workers: int
    budget: int
    phase: str = "Succeeded"
    reason: str = "Completed"
    fails_in_place: int = 0
    fails_for_good: int = 0
    sidecar: bool = False
    step_seconds: float | None = PAUSE
    """Seconds of a step, where the program reports its steps."""
    seconds: float = 0.0
    """How long a generation lives at least, where it does not."""

    @property
    def name(self) -> str:
        """The job's name."""
        name: str = self.manifest["metadata"]["name"]
        return name

    @property
    def doomed(self) -> bool:
        """Whether the program fails by itself, so that a fault would leave open which came first."""
        return self.phase == "Failed"

    def account(self) -> Account:
        """The books of the job before anything is done to it."""
        return Account(
            budget=self.budget,
            phase=self.phase,
            reason=self.reason,
            in_place=[USER_ERROR] * self.fails_in_place,
            attempts=[USER_ERROR] * self.fails_for_good,
        )


def draw(name: str, choice: random.Random, *, image: str) -> Plan:
    """A job of a random kind."""
    kinds = tuple(_KINDS)
    [kind] = choice.choices(kinds, weights=[_KINDS[each][1] for each in kinds])
    workers = choice.choice((2, 2, 3))
    made = job(name).framework("Custom").image(image).workers(workers).source(train=program("counts"))
    made.env(STEPS=str(choice.randrange(80, 180))).budget(MANY)
    if choice.random() < 0.5:
        made.set(cleanup="All")
    return _KINDS[kind][0](kind, made, workers)


def _counts(kind: str, made: JobBuilder, workers: int) -> Plan:
    return Plan(kind=kind, manifest=made.obj(), workers=workers, budget=MANY)


def _resumes(kind: str, made: JobBuilder, workers: int) -> Plan:
    return _counts(kind, made.checkpoint({"emptyDir": {}}).env(CHECKPOINTS="/checkpoints"), workers)


def _two_processes(kind: str, made: JobBuilder, workers: int) -> Plan:
    return _counts(kind, made.processes(2), workers)


def _sidecar(kind: str, made: JobBuilder, workers: int) -> Plan:
    return _with_sidecar(kind, made, workers, place="containers")


def _native_sidecar(kind: str, made: JobBuilder, workers: int) -> Plan:
    return _with_sidecar(kind, made, workers, place="initContainers", restartPolicy="Always")


def _with_sidecar(kind: str, made: JobBuilder, workers: int, *, place: str, **fields: str) -> Plan:
    image = made.obj()["spec"]["image"]
    container = {"name": SIDECAR, "image": image, "command": ["python3", "-c", _SIDECAR_PROGRAM], **fields}
    made.set(podTemplate={"spec": {place: [container]}})
    return Plan(kind=kind, manifest=made.obj(), workers=workers, budget=MANY, sidecar=True)


def _forbidden_exit(kind: str, made: JobBuilder, workers: int) -> Plan:
    rules = [{"exitCodes": [42], "action": "Fail"}]
    made.env(FAIL_AT=str(_FAILS_AT), FAIL_WITH="42").set(restart={"maxRestarts": MANY, "rules": rules})
    return Plan(
        kind=kind,
        manifest=made.obj(),
        workers=workers,
        budget=MANY,
        phase="Failed",
        reason="UserError",
        fails_for_good=1,
    )


def _no_budget(kind: str, made: JobBuilder, workers: int) -> Plan:
    made.env(FAIL_AT=str(_FAILS_AT), FAIL_WITH="7").budget(0)
    return Plan(
        kind=kind,
        manifest=made.obj(),
        workers=workers,
        budget=0,
        phase="Failed",
        reason="UserError",
        fails_for_good=1,
    )


def _uses_its_budget_up(kind: str, made: JobBuilder, workers: int) -> Plan:
    made.env(FAIL_AT=str(_FAILS_AT), FAIL_WITH="7").budget(2)
    return Plan(
        kind=kind,
        manifest=made.obj(),
        workers=workers,
        budget=2,
        phase="Failed",
        reason="UserError",
        # The last restart is kept for new pods.
        fails_in_place=1,
        fails_for_good=2,
    )


def _pytorch(kind: str, made: JobBuilder, workers: int) -> Plan:
    seconds = 20.0
    ddp = job(made.name).workers(2).source(train=program("ddp")).budget(MANY)
    ddp.env(STEPS=str(int(seconds / PAUSE)), STEP_PAUSE=str(PAUSE))
    return Plan(kind=kind, manifest=ddp.obj(), workers=2, budget=MANY, step_seconds=None, seconds=seconds)


_KINDS: Final[dict[str, tuple[Callable[[str, JobBuilder, int], Plan], int]]] = {
    "counts": (_counts, 8),
    "goes on from a checkpoint": (_resumes, 6),
    "two processes a pod": (_two_processes, 4),
    "with a sidecar": (_sidecar, 4),
    "with a native sidecar": (_native_sidecar, 3),
    "PyTorch DDP": (_pytorch, 2),
    "exit code that a rule forbids": (_forbidden_exit, 2),
    "no restarts allowed": (_no_budget, 2),
    "uses its restarts up": (_uses_its_budget_up, 2),
}
"""How each kind is made, and how often."""
