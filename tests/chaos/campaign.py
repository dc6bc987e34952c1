"""The course of a campaign: jobs are applied, harmed while they run, and watched until all are over."""

from __future__ import annotations

import http.client
import json
import os
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from tests.chaos.accounts import NODE_LOST, Account
from tests.chaos.jobs import Plan
from tests.chaos.nodes import Attempt, Nodes, attempt_of
from tests.chaos.strikes import STRIKES, Target, training_pids
from tests.chaos.weather import Weather
from tests.cluster.kit import Api, PodRecorder

__all__ = ["Campaign", "Course", "Subject"]

TICK: Final = 0.4
ENOUGH: Final = 4.0
"""Seconds that a program must still have before it, or it might end well before it is harmed."""
HARDLY_ENOUGH: Final = 2.5
"""The same where all programs of a node have to be so far from their ends."""
LONGEST_HOLD: Final = 25.0
"""Seconds for which everything else is held until a node can be killed."""
PATIENCE: Final = 150.0
"""Seconds after the last fault in which every job must come to its end."""
TRAINING_PORT: Final = 9464


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """How much of everything, and how fast."""

    seconds: float
    jobs: int
    together: int = 10
    """Jobs that are not over, at most."""
    strike_every: float = 1.2
    weather_every: float = 12.0
    node_every: float = 60.0


@dataclass(kw_only=True)
class Subject:
    """A job that was applied, and its books."""

    plan: Plan
    account: Account
    most: int
    """Faults that it gets at most."""
    history: list[str] = field(default_factory=list)
    struck: int = 0
    over: bool = False
    status: dict[str, Any] = field(default_factory=dict)
    hits: list[Attempt] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The job's name."""
        return self.plan.name


class Campaign:
    """Runs once."""

    def __init__(
        self,
        course: Course,
        plans: list[Plan],
        *,
        api: Api,
        namespace: str,
        recorder: PodRecorder,
        nodes: Nodes,
        weather: Weather,
        choice: random.Random,
    ) -> None:
        self._course = course
        self._waiting = list(reversed(plans))
        self._api = api
        self._namespace = namespace
        self._recorder = recorder
        self._nodes = nodes
        self._weather = weather
        self._choice = choice
        self._began = time.monotonic()
        self._next_strike = self._next_weather = 0.0
        self._next_node = 12.0
        self.subjects: dict[str, Subject] = {}
        self.faults: Counter[str] = Counter()
        self.log: list[str] = []

    def run(self) -> None:
        """Return when every job is over, or has been given its time."""
        while not self._finished():
            self._look()
            self._apply()
            if self._time < self._course.seconds:
                self._break_something()
            else:
                self._nodes.wanted = None
            self._weather.pass_by()
            for hit in self._nodes.newly_hit():
                self._hit(hit)
            self._nodes.tend(recovered=self._recovered)
            time.sleep(TICK)
        self._weather.clear()

    @property
    def _time(self) -> float:
        return time.monotonic() - self._began

    def _finished(self) -> bool:
        if self._time > self._course.seconds + PATIENCE:
            return True
        return not self._waiting and self._nodes.dead is None and all(each.over for each in self.subjects.values())

    def _look(self) -> None:
        for found in self._api.list("trainingjobs", namespace=self._namespace):
            subject = self.subjects.get(found["metadata"]["name"])
            if subject is not None:
                subject.status = found.get("status", {})
                subject.over = subject.status.get("phase") in {"Succeeded", "Failed"}

    def _apply(self) -> None:
        """Apply the next jobs, spread over three quarters of the time."""
        spread = 0.75 * self._course.seconds / self._course.jobs
        while self._waiting and len(self.subjects) * spread <= self._time:
            alive = sum(not subject.over for subject in self.subjects.values())
            plan = self._waiting[-1]
            if alive >= self._course.together or self._nodes.wanted:
                return
            # A program that fails by itself leaves open who was first, where a node dies as well.
            if plan.doomed and self._nodes.dead:
                self._waiting.insert(0, self._waiting.pop())
                return
            self._waiting.pop()
            most = 0 if plan.doomed else self._choice.randrange(4)
            self.subjects[plan.name] = Subject(plan=plan, account=plan.account(), most=most)
            self._api.create("trainingjobs", plan.manifest, namespace=self._namespace)

    def _break_something(self) -> None:
        now = self._time
        if self._nodes.wanted is not None:
            if self._bears_loss_of(self._nodes.wanted):
                node = self._nodes.wanted
                how = self._nodes.kill(current=self._is_current)
                self._next_node = now + self._course.node_every
                self._did("kill a node", f"{node}: {how}")
            elif now > self._next_node + LONGEST_HOLD:
                self._nodes.wanted = None
                self._next_node = now + LONGEST_HOLD / 2
            return  # until then nothing else is harmed, or it would never be borne
        if now >= self._next_node and self._nodes.dead is None and len(self.subjects) > 2:
            self._next_node = now
            self._nodes.choose()
            return
        if now >= self._next_weather and not self._weather.bad:
            self._next_weather = now + self._choice.uniform(0.5, 1.5) * self._course.weather_every
            self._did(self._weather.worsen())
        if now >= self._next_strike:
            self._next_strike = now + self._choice.uniform(0.5, 1.5) * self._course.strike_every
            self._strike()

    def _strike(self) -> None:
        subjects = [subject for subject in self.subjects.values() if subject.struck < subject.most]
        self._choice.shuffle(subjects)
        for subject in subjects:
            pods = self._calm_pods(subject)
            if not pods or any(pod["spec"].get("nodeName") == self._nodes.dead for pod in pods):
                continue
            fitting = [each for each in STRIKES if subject.plan.sidecar or not each.needs_sidecar]
            [strike] = self._choice.choices(fitting, weights=[each.weight for each in fitting])
            target = Target(api=self._api, namespace=self._namespace, pods=pods, choice=self._choice)
            if strike.do(target):
                strike.enter(subject.account)
                subject.struck += 1
                self._did(strike.name, subject=subject)
                return

    def _calm_pods(self, subject: Subject, *, enough: float = ENOUGH) -> list[dict[str, Any]]:
        """The pods of a job that trains, has told of everything done to it, and has some way to go; else none."""
        status = subject.status
        if status.get("phase") != "Running" or not subject.account.settled(status):
            return []
        pods = sorted(
            (pod for pod in self._recorder.living(subject.name) if attempt_of(pod)[1] == status["attempt"]),
            key=lambda pod: int(pod["metadata"]["labels"]["regatta.dev/worker"]),
        )
        if len(pods) != subject.plan.workers or not all(map(_trains, pods)):
            return []
        return pods if self._seconds_left(subject.plan, pods[0]) > enough else []

    def _seconds_left(self, plan: Plan, pod: dict[str, Any]) -> float:
        """For how long worker 0 trains at least, by what its launcher says, or by the age of its process."""
        if plan.step_seconds is None:
            ages = [_age(pid) for pid in training_pids(pod).values()]
            return plan.seconds - max(ages) if ages else 0.0
        told = _progress(pod["status"].get("podIP", ""))
        if told.get("state") != "running" or told.get("step") is None or told.get("totalSteps") is None:
            return 0.0
        return float((told["totalSteps"] - told["step"]) * plan.step_seconds)

    def _bears_loss_of(self, node: str) -> bool:
        """Whether every job with a pod on the node runs calmly, so that its loss is one known fault for each."""
        there = {attempt_of(pod) for pod in self._recorder.ever_on(node).values() if self._lives(pod)}
        for name, _ in there:
            subject = self.subjects[name]
            if not subject.over and (subject.plan.doomed or not self._calm_pods(subject, enough=HARDLY_ENOUGH)):
                return False
        # A loss that hits nobody tests nothing.
        return any(not self.subjects[name].over for name, _ in there)

    def _lives(self, pod: dict[str, Any]) -> bool:
        uid = pod["metadata"]["uid"]
        return any(living["metadata"]["uid"] == uid for living in self._recorder.living(attempt_of(pod)[0]))

    def _is_current(self, pod: dict[str, Any]) -> bool:
        name, attempt = attempt_of(pod)
        subject = self.subjects[name]
        return not subject.over and attempt == subject.status.get("attempt")

    def _hit(self, hit: Attempt) -> None:
        subject = self.subjects[hit[0]]
        subject.account.attempts.append(NODE_LOST)
        subject.hits.append(hit)
        self._did("attempts on a lost node", f"attempt {hit[1]}", subject=subject)

    def _recovered(self, hit: Attempt) -> bool:
        """Whether the job has been given pods in place of those that the node took with it."""
        name, attempt = hit
        subject = self.subjects[name]
        later = subject.status.get("attempt", 0) > attempt
        return subject.over or (later and subject.status.get("phase") == "Running")

    def _did(self, what: str, detail: str = "", *, subject: Subject | None = None) -> None:
        self.faults[what] += 1
        words = f"{self._time:6.1f}s {what}{': ' if detail else ''}{detail}"
        self.log.append(f"{words} ({subject.name})" if subject else words)
        if subject is not None:
            subject.history.append(words)


def _trains(pod: dict[str, Any]) -> bool:
    statuses = pod["status"].get("containerStatuses", [])
    trainer: dict[str, Any] = next((status for status in statuses if status["name"] == "trainer"), {})
    joined = bool(trainer.get("started")) and "running" in trainer.get("state", {})
    return joined and "deletionTimestamp" not in pod["metadata"]


def _progress(ip: str) -> dict[str, Any]:
    connection = http.client.HTTPConnection(ip, TRAINING_PORT, timeout=2)
    try:
        connection.request("GET", "/progress")
        told: dict[str, Any] = json.loads(connection.getresponse().read())
    except (OSError, http.client.HTTPException, ValueError):
        return {}
    finally:
        connection.close()
    return told


def _age(pid: int) -> float:
    """Seconds since a process started."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as stat, open("/proc/uptime", encoding="utf-8") as uptime:
            started = int(stat.read().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
            return float(uptime.read().split()[0]) - started
    except OSError:
        return float("inf")
