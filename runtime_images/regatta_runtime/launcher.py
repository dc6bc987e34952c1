"""One pod's launcher: follows the coordinator's orders with the processes of this pod, and tells how they fare.

On worker 0 it also hosts the coordinator. All of it happens on one loop, in one thread.
"""

from __future__ import annotations

import os
import signal
from typing import Any, Callable, Dict, List, Optional, Sequence

from regatta_runtime import early, family, oom, termination
from regatta_runtime.blame import blame, signal_name
from regatta_runtime.crew.front import StoreFront
from regatta_runtime.crew.link import Link
from regatta_runtime.crew.messages import (
    COORDINATOR_LOST,
    CREW_EXIT_CODE,
    END,
    FAILED,
    FINISHED,
    IDLE,
    JOIN_TIMEOUT,
    LEAVING,
    RUN,
    RUNNING,
    STOP,
    WAIT,
    Failure,
    Order,
    Report,
    Verdict,
)
from regatta_runtime.crew.ports import Offer
from regatta_runtime.environment import Config
from regatta_runtime.frameworks import WITH_STORE, wants_peers
from regatta_runtime.hosting import Host
from regatta_runtime.inbox import Inbox
from regatta_runtime.loop import Loop, Timer
from regatta_runtime.measure import cgroup, exposition, gpu
from regatta_runtime.output import Pump
from regatta_runtime.probes import Probes
from regatta_runtime.processes import Exit, Generation, Reaper, StartError
from regatta_runtime.starting import Starter

RESTART_GRACE = 2.0  # for processes of a generation that is over: they hang in a collective with a dead peer
GENTLE_GRACE = 30.0  # for processes whose crew ends because some pod of it was told to stop
UNKILLABLE_SECONDS = 10.0  # a process may hang in the kernel (a device, a network file system)
FIRST_WORD = 5.0  # seconds of waiting before the first line about it; each next comes twice as late
FORWARDED = ("SIGUSR1", "SIGUSR2", "SIGHUP")
EXIT_STOPPED = 143


class Launcher:
    """Runs one worker's part of the crew and returns its exit code."""

    def __init__(self, *, config: Config, command: Sequence[str], loop: Loop, pump: Pump) -> None:
        self._config = config
        self._loop = loop
        self._pump = pump
        self._say = pump.say
        self._member = os.urandom(8).hex()
        self._reaper = Reaper(loop)
        self._gpus = gpu.Watch()
        self._inbox = Inbox(loop, ranks=config.ranks, world_size=config.world_size, usage=self._usage)
        self._starter = Starter(config=config, command=command, progress=self._inbox.name)
        self._offer = Offer(config.metrics_port, config.coordinator[1]) if wants_peers(config) else None
        self._state = IDLE
        self._order = Order(WAIT, version=0)
        self._generation = 0  # the last one acted on
        self._processes: Optional[Generation] = None
        self._left = 0  # processes of this generation that have not exited
        self._failure: Optional[Failure] = None
        self._failed_at = 0.0
        self._oom_kills = 0
        self._verdict: Optional[Verdict] = None
        self._told_to_stop = False
        self._leaving = False
        self._last_call: Optional[Timer] = None
        self._word_at = FIRST_WORD
        self._probes = Probes(loop, self.look, self._measured)
        self._host = Host(loop=loop, config=config, say=pump.say) if config.worker == 0 else None
        address = ("127.0.0.1" if config.worker == 0 else config.coordinator[0], config.coordinator[1])
        self._front: Optional[StoreFront] = None
        if config.framework in WITH_STORE:
            self._front = StoreFront(
                loop=loop, address=address, token=config.token, processes=config.processes, say=pump.say
            )
        self._link = Link(
            loop=loop,
            address=address,
            token=config.token,
            lost_after=config.lost_after,
            describe=self._describe,
            on_order=self._follow,
            on_lost=self._coordinator_lost,
        )

    def run(self) -> int:
        """From joining to the end."""
        for signum in (signal.SIGTERM, signal.SIGINT):
            self._loop.on_signal(signum, self._stop_signal)
        if early.received:
            self._loop.post(lambda: self._stop_signal(early.received[0]))
        for name in FORWARDED:
            self._loop.on_signal(getattr(signal, name), self._pass_on)
        self._open_probes()
        if self._front is not None:
            self._front.open()
        if self._host is not None:
            self._host.open()
        self._link.open()
        self._loop.later(FIRST_WORD, self._tell_waiting)
        # The coordinator's own deadline comes first where it can be reached.
        self._loop.later(self._config.join_timeout + 2.0, self._join_deadline)
        return self._loop.run()

    def abandon(self) -> None:
        """Leave no training process behind after a mistake of the launcher's own."""
        family.kill(family.find([], self._starter.mark), signal.SIGKILL)

    def look(self) -> Dict[str, Any]:
        """What `/progress` shows."""
        return {
            **self._inbox.page(),
            "state": self._state,
            "uid": self._config.uid,
            "attempt": self._config.attempt,
            "worker": self._config.worker,
            "generation": self._generation,
            "worldSize": self._config.world_size,
            "restarts": self._order.restarts,
            "failures": [f.to_json() for f in self._order.failures],
            "waiting": self._waiting_for(),
        }

    # Following orders

    def _describe(self) -> bytes:
        config = self._config
        return Report(
            worker=config.worker,
            member=self._member,
            shape=(config.attempt, config.workers, config.processes),
            state=LEAVING if self._told_to_stop else self._state,
            generation=self._generation,
            seen=self._order.version,
            failure=self._failure,
            failed_ago=self._loop.now() - self._failed_at if self._failure else 0.0,
            address=self._link.local_address if self._offer else "",
            port=self._offer.current() if self._offer and self._state == IDLE else 0,
        ).to_bytes()

    def _follow(self, order: Order) -> None:
        news = order.version > self._order.version
        self._order = order
        if not news or self._verdict is not None:
            return
        if order.kind == RUN and order.generation > self._generation and not self._told_to_stop:
            self._start(order)
        elif order.kind == STOP and not (self._state == IDLE and self._generation >= order.generation):
            self._stop_generation(order)
        elif order.kind == WAIT and order.note and self._generation:
            self._say(order.note)
        if order.kind == END and order.verdict is not None:
            self._end(order.verdict)
        else:
            self._link.report()

    def _start(self, order: Order) -> None:
        self._generation, self._failure, self._state = order.generation, None, RUNNING
        self._oom_kills = oom.kills()
        self._inbox.begin_generation()
        if self._offer is not None:
            self._offer.take()
        if self._front is not None:
            self._front.begin_generation(order.generation)
        specs, warning = self._starter.specs(
            order,
            store_port=self._front.port if self._front else 0,
            steps_done=max(self._config.steps_done, self._inbox.ledger.highest),
        )
        self._left = len(specs)
        config = self._config
        where = f"{config.workers} x {config.processes} processes, rank 0 at {order.master[0]}:{order.master[1]}"
        self._say(f"generation {order.generation} starts: {where}")
        if warning and order.generation == 1:
            self._say("warning: " + warning)
        self._processes = Generation(
            loop=self._loop,
            reaper=self._reaper,
            pump=self._pump if config.log_prefix else None,
            mark=self._starter.mark,
            on_exit=self._exited,
        )
        try:
            self._processes.start(specs)
        except StartError as problem:
            code, cause = problem.exit_code, problem.cause
            self._fail(rank=specs[0].rank, exit_code=code, signum=None, cause=cause, text=str(problem))

    def _stop_generation(self, order: Order) -> None:
        if self._state == RUNNING:
            self._say("a process elsewhere failed; ending this generation")
        number = order.generation

        def ended() -> None:
            self._state, self._generation, self._failure = IDLE, number, None
            self._link.report()

        self._end_processes(min(RESTART_GRACE, self._config.kill_grace), ended)

    def _exited(self, exited: Exit) -> None:
        self._left -= 1
        if exited.exit_code != 0:
            if self._state != RUNNING or self._told_to_stop or self._verdict is not None:
                return
            cause, text = blame(
                exited,
                worker=self._config.worker,
                out_of_memory=oom.kills() > self._oom_kills,
                refusal=self._inbox.refusal(),
            )
            self._failed_at = exited.at
            self._fail(
                rank=exited.rank,
                exit_code=exited.exit_code,
                signum=exited.signal,
                cause=cause,
                text=text,
                clock=exited.clock,
            )
            self._link.report()
        elif self._left == 0 and self._state == RUNNING and not self._told_to_stop:
            self._state = FINISHED
            self._link.report()

    def _fail(
        self,
        *,
        rank: Optional[int],
        exit_code: int,
        signum: Optional[int],
        cause: str,
        text: str,
        clock: Optional[float] = None,
    ) -> None:
        self._state = FAILED
        self._failed_at = self._failed_at if clock is not None else self._loop.now()
        self._failure = Failure(
            generation=self._generation,
            worker=self._config.worker,
            rank=rank,
            exit_code=exit_code,
            signal=signum,
            cause=cause,
            message=text[:1000],
            at=termination.timestamp(clock),
        )
        self._say(text.split("\n")[0])

    # The end

    def _end(self, verdict: Verdict) -> None:
        self._verdict = verdict
        failure = verdict.failure
        if failure is None:
            self._say(f"all {self._config.world_size} processes of the crew succeeded")
        elif failure.worker != self._config.worker or failure.rank is None:
            self._say("the crew ends: " + failure.message.split("\n")[0])
        self._write_last_words()
        if self._told_to_stop and failure is not None:
            return  # our own processes are already on their way out, with the pod's grace
        self._wind_down(self._gentle_grace() if verdict.gentle else self._config.kill_grace)

    def _coordinator_lost(self, why: str) -> None:
        if self._verdict is None:
            self._break_off(COORDINATOR_LOST, f"lost worker 0, which coordinates the crew: {why}")

    def _join_deadline(self) -> None:
        if self._verdict is None and self._generation == 0:
            host, port = self._config.coordinator
            reason = f" ({self._link.trouble})" if self._link.trouble else ""
            text = f"could not join worker 0 at {host}:{port} within {self._config.join_timeout:g} s{reason}"
            self._break_off(JOIN_TIMEOUT, (self._host.trouble if self._host else "") or text)

    def _break_off(self, cause: str, text: str) -> None:
        if self._host is not None:  # nobody can follow a coordinator that its own launcher cannot reach
            self._host.close()
            self._host = None
        failure = Failure(self._generation, 0, None, CREW_EXIT_CODE, None, cause, text)
        self._end(Verdict(failure))

    def _stop_signal(self, signum: int) -> None:
        if self._told_to_stop:
            return
        if self._verdict is not None:
            # It ends already, for a reason that must not be covered up; but if that reason was a worker that was told
            # to stop, then we now are as well, and our processes may have as long as the kubelet gives them.
            if self._verdict.gentle:
                self._wind_down(self._own_grace())
            return
        self._told_to_stop = True
        self._say(f"{signal_name(signum)}: passing it on and ending")
        self._write_last_words()
        self._link.report()
        self._wind_down(self._own_grace(), signum=signum)

    def _own_grace(self) -> float:
        """When this pod is told to stop: until the kubelet has had enough, unless someone said how long that is."""
        return float("inf") if self._config.grace is None else self._config.grace

    def _gentle_grace(self) -> float:
        """When another pod was told to stop: not for ever, since nobody else may end what waits for that pod."""
        return GENTLE_GRACE if self._config.grace is None else self._config.grace

    def _pass_on(self, signum: int) -> None:
        if self._processes is not None:
            self._processes.forward(signum)

    def _end_processes(self, grace: float, done: Callable[[], None], *, signum: int = signal.SIGTERM) -> None:
        if self._processes is None:
            done()
        else:
            self._processes.stop(grace, done, signum=signum)

    def _wind_down(self, grace: float, *, signum: int = signal.SIGTERM) -> None:
        """End the processes for good, then leave; also without a process that even SIGKILL does not end."""
        if self._last_call is not None:
            self._last_call.cancel()
        self._last_call = self._loop.later(grace + UNKILLABLE_SECONDS, self._leave)
        self._end_processes(grace, self._leave, signum=signum)

    def _leave(self) -> None:
        if self._leaving:
            return
        self._leaving = True
        if self._host is None:
            self._exit()
        else:
            # Worker 0 leaves last, or the others would lose their coordinator before they knew how it ended.
            limit = 3.0 if self._told_to_stop else self._config.kill_grace + 10.0
            self._host.when_all_left(limit, self._exit)

    def _exit(self) -> None:
        code = self._write_last_words()
        self._link.close()
        self._probes.close()
        if self._front is not None:
            self._front.close()
        if self._host is not None:
            self._host.close()
        self._loop.stop(code)

    def _write_last_words(self) -> int:
        """Leave the termination message, early enough that being killed on the way out does not lose it."""
        failure = self._verdict.failure if self._verdict else None
        if self._verdict is not None and failure is None:
            outcome, code = "Succeeded", 0
        elif self._told_to_stop:
            outcome, code, failure = "Terminated", EXIT_STOPPED, None
        else:
            assert failure is not None
            outcome, code = "Failed", failure.exit_code
        data = termination.message(
            outcome=outcome,
            failure=failure,
            worker=self._config.worker,
            exit_code=code,
            generation=self._generation,
            restarts=self._order.restarts,
            failures=self._order.failures,
            extra=self._inbox.last_words(),
        )
        termination.write(self._config.termination_log, data)
        return code

    # Telling

    def _usage(self) -> Dict[str, float]:
        """What the steps use of what this pod holds, as far as it can be known."""
        told = {"gpuUtilization": self._gpus.utilization(), "memoryUsedFraction": cgroup.memory_used_fraction()}
        return {name: round(value, 4) for name, value in told.items() if value is not None}

    def _measured(self) -> List[str]:
        """What `/metrics` says beside the crew's own numbers."""
        ledger = self._inbox.ledger
        total = ledger.total()
        return [
            *exposition.of_processes(total),
            *exposition.of_the_training(total.get(0), ledger.about, self._config.framework),
            *cgroup.lines(),
            *self._gpus.lines(),
        ]

    def _open_probes(self) -> None:
        port = self._config.metrics_port
        try:
            self._probes.open(port)
        except OSError as problem:
            self._say(f"port {port} cannot be opened ({problem.strerror}): no probes and no metrics from this worker")
        else:
            self._gpus.begin()

    def _waiting_for(self) -> str:
        if self._generation:
            return ""
        if self._link.joined:
            return self._order.note
        host, port = self._config.coordinator
        return f"waiting for worker 0 at {host}:{port}" + (f" ({self._link.trouble})" if self._link.trouble else "")

    def _tell_waiting(self) -> None:
        if self._generation or self._verdict is not None:
            return
        self._say(self._waiting_for())
        self._word_at = min(2 * self._word_at, 300.0)
        self._loop.later(self._word_at, self._tell_waiting)
