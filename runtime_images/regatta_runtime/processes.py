"""The training processes of one generation in this pod: started, watched, signalled, ended with all their children."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import time
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence

from regatta_runtime import family
from regatta_runtime.crew.messages import COMMAND_NOT_EXECUTABLE, COMMAND_NOT_FOUND, USER_ERROR
from regatta_runtime.loop import Loop, Timer
from regatta_runtime.output import Pump, Stream, last_words

DRAIN_SECONDS = 0.25  # how long the last output of a dead process may come, where a grandchild holds its pipe open


class StartError(Exception):
    """A command that could not be started; the exit code is what a shell would give."""

    def __init__(self, exit_code: int, cause: str, message: str) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.cause = cause


class Spec(NamedTuple):
    """One process to start."""

    rank: Optional[int]  # None: a launcher of its own, which starts the ranks
    label: str  # what its output is prefixed with
    command: Sequence[str]
    environment: Dict[str, str]


class Exit(NamedTuple):
    """How one process ended."""

    rank: Optional[int]
    exit_code: int  # as a shell tells it: 128 and more for a signal
    signal: Optional[int]
    words: str  # the end of its stderr
    at: float  # the loop's time
    clock: float  # the wall clock's


class Reaper:
    """Collects every child that ends, adopted orphans included, and tells who waits for it."""

    def __init__(self, loop: Loop) -> None:
        self._watched: Dict[int, Callable[[int], None]] = {}
        loop.on_signal(signal.SIGCHLD, lambda _: self.collect())

    def watch(self, pid: int, callback: Callable[[int], None]) -> None:
        """Call back with the wait status; from the loop's thread, before the loop runs again, so none is missed."""
        self._watched[pid] = callback

    def collect(self) -> None:
        """Reap all that have ended."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            callback = self._watched.pop(pid, None)
            if callback is not None:
                callback(status)


class _Process:
    def __init__(self, spec: Spec, popen: subprocess.Popen[bytes]) -> None:
        self.spec = spec
        self.popen = popen
        self.pid = popen.pid
        self.streams: List[Stream] = []
        self.exit: Optional[Exit] = None  # set when it has ended; its last words are still to come
        self.told = False

    @property
    def drained(self) -> bool:
        return all(stream.ended for stream in self.streams)


class Generation:
    """The processes of one generation; `on_exit` hears of each that ends by itself."""

    def __init__(
        self, *, loop: Loop, reaper: Reaper, pump: Optional[Pump], mark: str, on_exit: Callable[[Exit], None]
    ) -> None:
        self._loop = loop
        self._reaper = reaper
        self._pump = pump
        self._mark = mark
        self._on_exit = on_exit
        self._processes: List[_Process] = []
        self._stopping = False
        self._kill: Optional[Timer] = None
        self._look_again = 0.0
        self._done: Optional[Callable[[], None]] = None

    def start(self, specs: Sequence[Spec]) -> None:
        """Start all; StartError when the command cannot be run."""
        for spec in specs:
            process = self._spawn(spec)
            self._processes.append(process)
            self._reaper.watch(process.pid, self._end_of(process))

    def forward(self, signum: int) -> None:
        """Send a signal to each training process alone: its children (DataLoader workers) are its own business."""
        family.kill([p.pid for p in self._processes if p.exit is None], signum)

    def stop(self, grace: float, done: Callable[[], None], *, signum: int = signal.SIGTERM) -> None:
        """End all processes and whatever they started; call `done` when none is left (perhaps at once).

        Asked again, only `grace` and `done` change: a process gets its signal once.
        """
        if not self._stopping:
            # What ended before we ended it has failed (or finished) by itself, though we may not have noticed yet.
            self._reaper.collect()
            for process in self._processes:
                self._tell(process)
            self._stopping = True
            self.forward(signum)
            self.forward(signal.SIGCONT)  # one that is stopped would not hear of it
        self._done = done
        if self._kill is not None:
            self._kill.cancel()
        self._kill = self._loop.later(grace, self._kill_all)
        self._check_done()

    def _spawn(self, spec: Spec) -> _Process:
        pipes = [os.pipe(), os.pipe()] if self._pump is not None else []
        writers: List[Optional[int]] = [writer for _, writer in pipes] or [None, None]
        environment = dict(spec.environment, **{family.MARK: self._mark})
        try:
            popen = subprocess.Popen(
                spec.command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=writers[0],
                stderr=writers[1],
                start_new_session=True,  # a group of its own, so that it can be ended with its children
            )
        except (OSError, ValueError) as problem:
            for reader, _ in pipes:
                os.close(reader)
            raise _explain(spec.command[0], problem, environment.get("PATH", os.defpath)) from None
        finally:
            for _, writer in pipes:
                os.close(writer)
        process = _Process(spec, popen)
        if self._pump is not None:
            for onto, (reader, _) in enumerate(pipes, start=1):
                prefix = f"[{spec.label}] "
                stream = self._pump.stream(
                    reader, onto=onto, prefix=prefix, on_end=lambda: self._loop.post(lambda: self._drained(process))
                )
                process.streams.append(stream)
        return process

    def _end_of(self, process: _Process) -> Callable[[int], None]:
        return lambda status: self._ended(process, status)

    def _ended(self, process: _Process, status: int) -> None:
        returncode = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        process.popen.returncode = returncode  # it has been reaped: keep Popen from waiting for it as well
        process.exit = Exit(
            rank=process.spec.rank,
            exit_code=returncode if returncode >= 0 else 128 - returncode,
            signal=-returncode if returncode < 0 else None,
            words="",
            at=self._loop.now(),
            clock=time.time(),
        )
        if self._stopping:
            self._kill_group(process)
            self._check_done()
        else:
            self._loop.later(DRAIN_SECONDS, lambda: self._tell(process))
            self._drained(process)

    def _drained(self, process: _Process) -> None:
        if process.drained:
            self._tell(process)

    def _tell(self, process: _Process) -> None:
        if process.exit is None or process.told or self._stopping:
            return
        process.told = True
        tail = process.streams[1].tail if process.streams else b""
        self._on_exit(process.exit._replace(words=last_words(tail)))

    def _kill_group(self, process: _Process) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)

    def _kill_all(self) -> None:
        for process in self._processes:
            if process.exit is None:
                self._kill_group(process)

    def _check_done(self) -> None:
        if self._done is None or any(p.exit is None for p in self._processes):
            return
        leftovers = family.find([p.pid for p in self._processes], self._mark)
        if leftovers:
            family.kill(leftovers, signal.SIGKILL)
            self._look_again = min(2 * self._look_again + 0.01, 1.0)
            self._loop.later(self._look_again, self._check_done)
            return
        done, self._done = self._done, None
        if self._kill is not None:
            self._kill.cancel()
        done()


def _explain(program: str, problem: Exception, path: str) -> StartError:
    code = getattr(problem, "errno", None)
    if code == errno.ENOENT:
        where = f"no such file: {program}" if "/" in program else f"{program} is not on PATH ({path})"
        if _exists(program, path):
            where = f"{program} exists, but not the interpreter that its first line names"
        return StartError(127, COMMAND_NOT_FOUND, f"command not found: {where}")
    if code in (errno.EACCES, errno.ENOEXEC, errno.EISDIR):
        why = "not executable" if code != errno.ENOEXEC else "not a program this machine can run"
        return StartError(126, COMMAND_NOT_EXECUTABLE, f"{program} is {why}")
    if code == errno.E2BIG:
        return StartError(126, COMMAND_NOT_EXECUTABLE, "the arguments and the environment are too long together")
    # Too little memory, too many processes: that may pass.
    return StartError(126, USER_ERROR, f"{program} could not be started: {problem}")


def _exists(program: str, path: str) -> bool:
    places = [program] if "/" in program else [os.path.join(p or ".", program) for p in path.split(os.pathsep)]
    return any(os.path.exists(place) for place in places)
