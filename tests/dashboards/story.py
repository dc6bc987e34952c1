"""Three invented hours of a cluster: seven jobs, what each did when, and what the operator went through.

Nothing here was measured. The story is made so that every panel has something to show, and so that a reader who knows
the story can see in the pictures whether a panel tells it: the data of `resnet50` come too slowly for half an hour, it
loses a worker to memory, and does eight minutes again; `tune` fails over and over.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

__all__ = ["END", "JOBS", "START", "Job", "Part"]

START: Final = 1_767_603_600
"""2026-01-05T09:00:00Z."""
END: Final = START + 3 * 3600

Mix = dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A while in which a job does the same: the shares of its states, who tells them, and in which phase it is."""

    seconds: int
    mix: Mix
    phase: str = "Running"
    attempt: int = 1
    inside: bool = True
    """Whether a program runs and tells of itself; else the operator does."""
    feed: Mix = field(default_factory=lambda: {"busy": 0.55, "starved": 0.05, "blocked": 0.4})


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One job and its life."""

    namespace: str
    name: str
    framework: str
    pods: int
    gpus: int
    """Of each pod."""
    batch: int
    step_seconds: float
    parts: tuple[Part, ...]
    preprocessing: bool = False
    memory: float = 0.6
    """Of what it asks for."""
    cpus: float = 0.7
    cause: str = ""
    """Of its failures."""

    @property
    def ranks(self) -> int:
        """Training processes of a pod."""
        return max(1, self.gpus)

    def during(self, seconds: int) -> Iterator[tuple[int, Part]]:
        """Every `seconds` of the story, with what the job does then; nothing before its beginning and after its end."""
        at = START
        for part in self.parts:
            for _ in range(part.seconds // seconds):
                if at > END:
                    return
                yield at, part
                at += seconds


def waits(seconds: int, state: str, *, attempt: int = 1, phase: str = "Starting") -> Part:
    """A while that only the operator sees."""
    return Part(seconds=seconds, mix={state: 1.0}, phase=phase, attempt=attempt, inside=False)


def begins(seconds: int, *, attempt: int = 1) -> tuple[Part, ...]:
    """From the first node to the first step."""
    return (
        waits(45, "gang_wait", attempt=attempt),
        waits(75 if attempt == 1 else 15, "image_pull", attempt=attempt),
        Part(seconds=seconds, mix={"init": 1.0}, phase="Starting", attempt=attempt),
        Part(seconds=15, mix={"rendezvous": 1.0}, phase="Starting", attempt=attempt),
        *(() if attempt > 1 else (Part(seconds=45, mix={"compile": 1.0}),)),
    )


def trains(
    seconds: int, *, wait: float = 0.04, attempt: int = 1, eval_every: int = 1800, feed: Mix | None = None
) -> Iterator[Part]:
    """Training with a checkpoint in every quarter of an hour, and an evaluation now and then."""
    feeds = {} if feed is None else {"feed": feed}
    done = 0
    while done < seconds:
        stretch = min(840, seconds - done)
        mix = {"step": 1 - wait, "data_wait": wait}
        yield Part(seconds=stretch, mix=mix, attempt=attempt, **feeds)
        done += stretch
        if done < seconds:
            yield Part(
                seconds=60, mix={"checkpoint_save": 0.7, **{k: v * 0.3 for k, v in mix.items()}}, attempt=attempt
            )
            done += 60
            if done % eval_every == 0:
                yield Part(seconds=60, mix={"eval": 1.0}, attempt=attempt)
                done += 60


def again(seconds: int, *, attempt: int) -> tuple[Part, ...]:
    """Loading the checkpoint, and steps that had been done before."""
    return (
        Part(seconds=45, mix={"checkpoint_restore": 1.0}, attempt=attempt),
        Part(seconds=seconds, mix={"rework": 0.95, "data_wait": 0.05}, attempt=attempt),
    )


STARVED: Final = {"busy": 0.32, "starved": 0.66, "blocked": 0.02}

RESNET: Final = Job(
    namespace="vision",
    name="resnet50",
    framework="PyTorch",
    pods=2,
    gpus=4,
    batch=64,
    step_seconds=0.21,
    preprocessing=True,
    memory=0.83,
    cause="oom_killed",
    parts=(
        waits(240, "queued", phase="Queued"),
        *begins(45),
        *trains(3600),
        *trains(1800, wait=0.42, feed=STARVED),
        *trains(1080),
        waits(15, "terminating", phase="Restarting"),
        waits(30, "restart_backoff", attempt=2, phase="Restarting"),
        *begins(45, attempt=2),
        *again(480, attempt=2),
        *trains(7200, attempt=2),
    ),
)

JOBS: Final = (
    RESNET,
    Job(
        namespace="language",
        name="llm-7b",
        framework="PyTorch",
        pods=2,
        gpus=8,
        batch=8,
        step_seconds=1.9,
        memory=0.71,
        cause="node_lost",
        cpus=0.35,
        parts=(
            *begins(120),
            *trains(4800, wait=0.02),
            waits(30, "terminating", phase="Restarting"),
            waits(300, "gang_wait", attempt=2),
            *begins(120, attempt=2),
            *again(600, attempt=2),
            *trains(7200, wait=0.02, attempt=2),
        ),
    ),
    Job(
        namespace="vision",
        name="segment",
        framework="TensorFlow",
        pods=1,
        gpus=4,
        batch=16,
        step_seconds=0.34,
        memory=0.38,
        parts=(*begins(60), *trains(6600, wait=0.09)),
    ),
    Job(
        namespace="speech",
        name="wav2vec",
        framework="Horovod",
        pods=2,
        gpus=2,
        batch=32,
        step_seconds=0.55,
        memory=0.45,
        parts=(waits(2700, "queued", phase="Queued"), waits(420, "gang_wait"), *begins(60), *trains(7200, wait=0.28)),
    ),
    Job(
        namespace="language",
        name="tune",
        framework="Keras",
        pods=1,
        gpus=2,
        batch=24,
        step_seconds=0.3,
        cause="user_error",
        parts=(
            waits(3600, "queued", phase="Queued"),
            *(
                part
                for attempt in range(1, 5)
                for part in (
                    *begins(60, attempt=attempt),
                    *trains(240, attempt=attempt),
                    waits(60 * 2**attempt, "restart_backoff", attempt=attempt, phase="Restarting"),
                )
            ),
        ),
    ),
    Job(
        namespace="research",
        name="digits",
        framework="PyTorch",
        pods=2,
        gpus=0,
        batch=128,
        step_seconds=0.05,
        parts=(waits(1800, "queued", phase="Queued"), *begins(15), *trains(3600, wait=0.06)),
    ),
    Job(
        namespace="language",
        name="pretrain",
        framework="PyTorch",
        pods=8,
        gpus=8,
        batch=8,
        step_seconds=2.0,
        parts=(waits(10800, "queued", phase="Queued"),),
    ),
)
