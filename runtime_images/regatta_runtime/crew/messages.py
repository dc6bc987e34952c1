"""What launchers and coordinator say to each other, as JSON.

Both directions are level-triggered: a report is the launcher's whole state and an order is the whole wish of the
coordinator, so one that is repeated, late or lost does no harm.
"""

from __future__ import annotations

import json
from typing import Any, Dict, NamedTuple, Optional, Tuple

MESSAGE_LIMIT = 1000  # characters of a human sentence on its way between launchers
FAILURES_KEPT = 5

# What a launcher's processes are doing, as it reports it.
IDLE = "idle"  # none: not started yet, or all of `generation` have ended on the coordinator's order
RUNNING = "running"
FINISHED = "finished"  # all exited with 0
FAILED = "failed"  # one exited otherwise; the others may still run
LEAVING = "leaving"  # the launcher itself was told to stop
STATES = frozenset({IDLE, RUNNING, FINISHED, FAILED, LEAVING})

# What the coordinator wants.
WAIT = "wait"
RUN = "run"
STOP = "stop"
END = "end"
ORDERS = frozenset({WAIT, RUN, STOP, END})

# Why the crew ended, in the words of the job's status.
USER_ERROR = "UserError"
OOM_KILLED = "OOMKilled"
COMMAND_NOT_FOUND = "CommandNotFound"
COMMAND_NOT_EXECUTABLE = "CommandNotExecutable"
JOIN_TIMEOUT = "JoinTimeout"
WORKER_LOST = "WorkerLost"
COORDINATOR_LOST = "CoordinatorLost"
CONFIG_ERROR = "ConfigError"  # image or program do not fit the job: the group or the devices are not what it asked for
CREW_EXIT_CODE = 72  # the crew broke, whatever the user's program did


class Failure(NamedTuple):
    """A training process that ended badly (or a worker that was lost: then there is no rank)."""

    generation: int
    worker: int
    rank: Optional[int]
    exit_code: int
    signal: Optional[int]
    cause: str
    message: str
    at: str = ""
    lost_seconds: Optional[float] = None  # from the failure to the start of the next generation, once there was one

    def to_json(self) -> Dict[str, Any]:
        """As it stands in messages, in `/progress` and in the termination message."""
        return {
            "generation": self.generation,
            "worker": self.worker,
            "rank": self.rank,
            "exitCode": self.exit_code,
            "signal": self.signal,
            "cause": self.cause,
            "message": self.message,
            "at": self.at,
            "lostSeconds": self.lost_seconds,
        }

    @classmethod
    def from_json(cls, raw: Dict[str, Any]) -> Failure:
        """Read one; ValueError when it is not one."""
        return cls(
            generation=_number(raw, "generation"),
            worker=_number(raw, "worker"),
            rank=None if raw.get("rank") is None else _number(raw, "rank"),
            exit_code=_number(raw, "exitCode"),
            signal=None if raw.get("signal") is None else _number(raw, "signal"),
            cause=_string(raw, "cause"),
            message=_string(raw, "message"),
            at=_string(raw, "at"),
            lost_seconds=None if raw.get("lostSeconds") is None else _seconds(raw, "lostSeconds"),
        )


class Report(NamedTuple):
    """One launcher's whole state."""

    worker: int
    member: str  # drawn by the launcher at its start: tells two launchers of the same index apart
    shape: Tuple[int, int, int]  # attempt, workers, processes: must agree over the crew
    state: str
    generation: int
    seen: int  # the order version it has acted on
    failure: Optional[Failure] = None
    failed_ago: float = 0.0  # seconds since the failure; a duration, so that the clocks of two nodes need not agree
    address: str = ""  # where the other workers can reach this one, as far as it knows
    port: int = 0  # free there for the next generation; 0 from frameworks that need no port on every worker

    def to_bytes(self) -> bytes:
        """As the body of a request."""
        raw = {
            "worker": self.worker,
            "member": self.member,
            "shape": list(self.shape),
            "state": self.state,
            "generation": self.generation,
            "seen": self.seen,
            "failure": self.failure.to_json() if self.failure else None,
            "failedAgo": round(self.failed_ago, 4),
            "address": self.address,
            "port": self.port,
        }
        return json.dumps(raw).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Report:
        """Read one; ValueError when it is not one."""
        raw = _object(data)
        shape = raw.get("shape")
        if not isinstance(shape, list) or len(shape) != 3 or not all(isinstance(n, int) for n in shape):
            raise ValueError("shape: want three numbers")
        if raw.get("state") not in STATES:
            raise ValueError("state: unknown")
        failure = raw.get("failure")
        if failure is not None and not isinstance(failure, dict):
            raise ValueError("failure: want an object")
        return cls(
            worker=_number(raw, "worker"),
            member=_string(raw, "member"),
            shape=(shape[0], shape[1], shape[2]),
            state=raw["state"],
            generation=_number(raw, "generation"),
            seen=_number(raw, "seen"),
            failure=Failure.from_json(failure) if failure else None,
            failed_ago=_seconds(raw, "failedAgo"),
            address=_string(raw, "address"),
            port=_number(raw, "port"),
        )


class Verdict(NamedTuple):
    """How the crew ended; `failure` is None when it succeeded."""

    failure: Optional[Failure]
    gentle: bool = False  # a worker was told to stop: the others' processes get the pod's whole grace period

    @property
    def exit_code(self) -> int:
        """The exit code of every launcher of the crew."""
        return self.failure.exit_code if self.failure else 0


class Order(NamedTuple):
    """What the coordinator wants now, with what it knows."""

    kind: str
    version: int
    generation: int = 0
    master: Tuple[str, int] = ("", 0)
    peers: Tuple[str, ...] = ()  # ADDRESS:PORT of every worker, of a generation whose launchers offer ports
    restarts: int = 0  # in place, in this attempt
    failures: Tuple[Failure, ...] = ()  # of earlier generations, newest last
    note: str = ""  # for people: whom it waits for
    verdict: Optional[Verdict] = None

    def to_bytes(self) -> bytes:
        """As the body of a response."""
        raw: Dict[str, Any] = {
            "order": self.kind,
            "version": self.version,
            "generation": self.generation,
            "master": list(self.master),
            "peers": list(self.peers),
            "restarts": self.restarts,
            "failures": [f.to_json() for f in self.failures],
            "note": self.note,
        }
        if self.verdict is not None:
            raw["verdict"] = {
                "failure": self.verdict.failure.to_json() if self.verdict.failure else None,
                "gentle": self.verdict.gentle,
            }
        return json.dumps(raw).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Order:
        """Read one; ValueError when it is not one."""
        raw = _object(data)
        master, failures, verdict = raw.get("master"), raw.get("failures"), raw.get("verdict")
        peers = raw.get("peers")
        if raw.get("order") not in ORDERS or (raw["order"] == END) != isinstance(verdict, dict):
            raise ValueError("order: unknown")
        if not isinstance(master, list) or len(master) != 2 or not isinstance(failures, list):
            raise ValueError("not an order")
        if not isinstance(peers, list) or not all(isinstance(peer, str) for peer in peers):
            raise ValueError("peers: want strings")
        return cls(
            kind=raw["order"],
            version=_number(raw, "version"),
            generation=_number(raw, "generation"),
            master=(str(master[0]), int(master[1])),
            peers=tuple(peers),
            restarts=_number(raw, "restarts"),
            failures=tuple(Failure.from_json(f) for f in failures),
            note=_string(raw, "note"),
            verdict=_verdict(verdict) if verdict else None,
        )


def _verdict(raw: Dict[str, Any]) -> Verdict:
    failure = raw.get("failure")
    return Verdict(Failure.from_json(failure) if failure else None, bool(raw.get("gentle")))


def _object(data: bytes) -> Dict[str, Any]:
    raw = json.loads(data.decode("utf-8"))
    if not isinstance(raw, dict):
        raise ValueError("want a JSON object")
    return raw


def _number(raw: Dict[str, Any], key: str) -> int:
    value = raw.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**53:
        raise ValueError(f"{key}: want a whole number")
    return value


def _seconds(raw: Dict[str, Any], key: str) -> float:
    value = raw.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e9:
        raise ValueError(f"{key}: want seconds")
    return float(value)


def _string(raw: Dict[str, Any], key: str) -> str:
    value = raw.get(key)
    if not isinstance(value, str):
        raise ValueError(f"{key}: want a string")
    return value[:MESSAGE_LIMIT]
