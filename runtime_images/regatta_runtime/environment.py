"""What the operator tells the launcher: the REGATTA_* variables, checked once and frozen.

A missing or wrong variable is a `ConfigError` whose message names it; the launcher then exits with 64.
"""

from __future__ import annotations

from typing import Callable, FrozenSet, Mapping, NamedTuple, Optional, Tuple, TypeVar

T = TypeVar("T")

PREFIX = "REGATTA_"
TERMINATION_LOG = "/dev/termination-log"


class ConfigError(Exception):
    """A variable that the launcher cannot work with."""


class Config(NamedTuple):
    """Everything the launcher knows before it meets the others."""

    job: str
    namespace: str
    uid: str
    framework: str
    keras_backend: str  # of framework Keras only
    attempt: int
    worker: int
    workers: int
    processes: int
    gpus: int
    coordinator: Tuple[str, int]
    token: str
    join_timeout: float
    restarts: int
    restarts_used: int
    steps_done: int  # the highest step that an attempt before this one is known to have finished
    fatal_exit_codes: FrozenSet[int]
    fatal_oom: bool
    checkpoint_dir: str
    compile: bool
    metrics_port: int
    log_prefix: bool
    run_once: Optional[bool]
    kill_grace: float
    grace: Optional[float]
    lost_after: float
    termination_log: str

    @property
    def world_size(self) -> int:
        """Training processes in the whole crew."""
        return self.workers * self.processes

    @property
    def ranks(self) -> range:
        """Those of this worker's processes."""
        return range(self.worker * self.processes, (self.worker + 1) * self.processes)


def load(environ: Mapping[str, str]) -> Config:
    """The configuration in `environ`, or a ConfigError that says which variable is wrong and how."""
    read = _Reader(environ)
    workers = read("WORKERS", _whole(1, 100_000))
    worker = read("WORKER", _whole(0, 99_999))
    if worker >= workers:
        raise ConfigError(f"REGATTA_WORKER is {worker}, but with REGATTA_WORKERS={workers} it must be below {workers}")
    framework = read("FRAMEWORK", _text)
    return Config(
        job=read("JOB", _text),
        namespace=read("NAMESPACE", str, ""),
        uid=read("UID", str, ""),
        framework=framework,
        keras_backend=read("KERAS_BACKEND", _one_of("torch", "tensorflow")) if framework == "Keras" else "",
        attempt=read("ATTEMPT", _whole(0, 2**31)),
        worker=worker,
        workers=workers,
        processes=read("PROCESSES", _whole(1, 1024)),
        gpus=read("GPUS", _whole(0, 1024), 0),
        coordinator=read("COORDINATOR", _address),
        token=read("TOKEN", _text),
        join_timeout=read("JOIN_TIMEOUT", _seconds, 1800.0),
        restarts=read("RESTARTS", _whole(0, 2**31), 0),
        restarts_used=read("RESTARTS_USED", _whole(0, 2**31), 0),
        steps_done=read("STEPS_DONE", _whole(0, 10**12 - 1), 0),
        fatal_exit_codes=read("FATAL_EXIT_CODES", _codes, frozenset()),
        fatal_oom=read("FATAL_OOM", _switch, False),
        checkpoint_dir=read("CHECKPOINT_DIR", str, ""),
        compile=read("COMPILE", _switch, False),
        metrics_port=read("METRICS_PORT", _whole(0, 65535), 9464),
        log_prefix=read("LOG_PREFIX", _switch, True),
        run_once=read("RUN_ONCE", _switch, None),
        kill_grace=read("KILL_GRACE", _seconds, 5.0),
        grace=read("GRACE", _seconds, None),
        lost_after=read("LOST_AFTER", _seconds, 15.0),
        termination_log=read("TERMINATION_LOG", str, TERMINATION_LOG),
    )


class _Required:
    pass


_REQUIRED = _Required()


class _Reader:
    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def __call__(self, name: str, parse: Callable[[str], T], default: object = _REQUIRED) -> T:
        text = self._environ.get(PREFIX + name, "").strip()
        if not text:
            if isinstance(default, _Required):
                raise ConfigError(f"{PREFIX}{name} is not set; the operator sets it in every worker pod")
            return default  # type: ignore[return-value]
        try:
            return parse(text)
        except ValueError as problem:
            # A token is a secret: its value never reaches a log.
            shown = "" if name == "TOKEN" else f"={text[:100]!r}"
            raise ConfigError(f"{PREFIX}{name}{shown}: {problem}") from None


def _text(text: str) -> str:
    if not text.isprintable() or not text.isascii():
        raise ValueError("must be printable ASCII")
    return text


def _one_of(*words: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"must be {' or '.join(words)}")
        return text

    return parse


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit()) or len(text) > 12 or not low <= int(text) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(text)

    return parse


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 <= value < 1e9:
        raise ValueError("must be a number of seconds")
    return value


def _switch(text: str) -> bool:
    if text.lower() not in ("0", "1", "true", "false"):
        raise ValueError("must be 0 or 1")
    return text.lower() in ("1", "true")


def _codes(text: str) -> FrozenSet[int]:
    code = _whole(1, 255)
    return frozenset(code(part.strip()) for part in text.split(","))


def _address(text: str) -> Tuple[str, int]:
    host, colon, port = text.rpartition(":")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon or not host or not host.isascii() or len(host) > 253 or " " in host:
        raise ValueError("must be HOST:PORT")
    return host, _whole(1, 65535)(port)
