"""`regatta explain NAME`: from the job along attempt, pod and container to what hinders it, and what to do.

The obstacle is found anew from what the cluster says now, by the operator's own rules; where only the operator could
see it (the API server refused a pod, say), its status is the source.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from regatta.api import names
from regatta.api.status import Cause, ConditionType, Phase, TrainingJobStatus
from regatta.cli.chain import Chain, Link
from regatta.cli.ends import failure_links, told_by_status
from regatta.cli.facts import NO_INSTALLATION, Facts, crew_of, job_of, status_of
from regatta.cli.surroundings import absent_everywhere, group_links, node_links, operator_obstacle, quota_links
from regatta.cli.text import one_line, parse_time, span
from regatta.kube.eventlog import last_told, latest_news, standing_warning
from regatta.kube.records import group_facts
from regatta.plan.conditions import find
from regatta.plan.crew import Crew, is_training, trainer_of
from regatta.plan.gang import gang_obstacle
from regatta.plan.model import ContainerFacts, Observed, PodFacts
from regatta.plan.obstacle import Obstacle, first_obstacle
from regatta.plan.placing import placing
from regatta.plan.refusals import fix_in

__all__ = ["explain"]

LONG: Final = 60.0
"""Seconds a running worker may take to join before that is called an obstacle."""
OPERATOR_ERROR: Final = "OperatorError"
"""The reason by which an operator confesses a fault of its own."""
_CAUSES: Final = frozenset(cause.value for cause in Cause)
_BLIND: Final = ("without pods", "without events", "without PodGroups")
"""Beginnings of notes: who could not see these cannot say that what hindered has healed."""


def explain(facts: Facts, *, now: datetime) -> Chain:
    """Why the job is where it is."""
    status = status_of(facts.job)
    crew = crew_of(facts.job, facts.pods or ())
    links: list[Link] = []
    obstacle, fix, summary = "", "", ""
    ended = status.phase is not None and status.phase.terminal
    outage = None if ended else operator_obstacle(facts, status, now=now)
    if outage is not None:
        links.append(Link("operator", f"operator: {outage[0]}"))
    if status.phase is None:
        summary = "the operator has not looked at the job so far"
        fix = "wait a moment and ask again" if outage is None else ""
    elif ended or status.phase in (Phase.RESTARTING, Phase.SUSPENDED):
        links += failure_links(status, now=now)
        obstacle, fix, summary = told_by_status(facts.job, status, now=now)
        if not ended or crew.members:
            links.append(Link("attempt", _attempt(facts, status, crew)))
    else:
        found = _live(facts, crew)
        gang = (*group_links(facts.groups),) or (*_gang_link(status),)
        pods = _pod_links(facts, crew, found, now=now)
        if status.phase is not Phase.RUNNING:
            links += failure_links(status, now=now)
        links.append(Link("attempt", _attempt(facts, status, crew), (*gang, *pods)))
        links += quota_links(facts.quotas)
        obstacle, fix, summary = _hindrance(facts, status, crew, found, now=now)
    if outage is not None:
        obstacle, fix = outage
    return Chain(
        root=Link("job", _headline(facts.job, status, now=now), tuple(links)),
        obstacle=obstacle,
        fix=fix,
        summary=summary,
        notes=facts.notes,
    )


def _hindrance(
    facts: Facts, status: TrainingJobStatus, crew: Crew, found: Obstacle | None, *, now: datetime
) -> tuple[str, str, str]:
    """Obstacle, fix and summary of a job that has a crew, or is about to have one."""
    if status.reason == OPERATOR_ERROR:
        return one_line(status.message), "report it, with the operator's log (regatta version says where)", ""
    if found is not None:
        return found.what, _fix(facts, crew, found), ""
    if status.reason in _CAUSES and (len(crew.members) < crew.desired or _blind(facts)):
        # What the API server refused was seen by the operator alone.
        what, fix = fix_in(status.message)
        if status.next_try_time is not None:
            fix += f"; next try in {span((status.next_try_time - now).total_seconds())}"
        return what, fix, ""
    late = _not_joined(crew, now=now)
    if late is not None and status.phase is not Phase.RUNNING:
        logs = f"regatta logs {_name(facts.job)} says whom it waits for"
        return late, f"{logs}; pods of the job must reach one another (NetworkPolicy, DNS)", ""
    summary, fix = _waiting(facts.job, status, crew)
    return "", fix, summary


def _live(facts: Facts, crew: Crew) -> Obstacle | None:
    """The obstacle as the operator's own rules find it in what the cluster says now."""
    job = job_of(facts.job)
    warnings = {}
    for pod in crew.members.values():
        warning = standing_warning(facts.events.get(pod.uid, ()))
        if warning is not None:
            warnings[pod.name] = str(warning["message"])
    groups = {group.name: group for group in map(group_facts, facts.groups)}
    attempt = max(1, job.status.attempt)
    observed = Observed(
        installation=facts.operators[0].installation if facts.operators else NO_INSTALLATION,
        warnings=warnings,
        group=groups.get(names.group_name(job.name, attempt)),
    )
    return first_obstacle(crew, observed, job.spec) or gang_obstacle(job, crew, observed)


def _fix(facts: Facts, crew: Crew, obstacle: Obstacle) -> str:
    """The obstacle's fix; where the nodes could be read, they tell a resource that no node has from a large request."""
    pod = None if obstacle.worker is None else crew.members.get(obstacle.worker)
    lacking = placing(pod.unschedulable, spec=None).lacking if pod is not None and pod.unschedulable else ()
    absent = one_line(absent_everywhere(facts, lacking))
    if not absent:
        return obstacle.fix
    return f"add nodes that have {absent} (does its device plugin run?), or ask for another resource"


def _blind(facts: Facts) -> bool:
    return any(note.startswith(_BLIND) for note in facts.notes)


def _headline(job: Mapping[str, Any], status: TrainingJobStatus, *, now: datetime) -> str:
    metadata = job.get("metadata") or {}
    name = f"TrainingJob {one_line(metadata.get('namespace', ''))}/{_name(job)}"
    created = parse_time(metadata.get("creationTimestamp"))
    age = "" if created is None else f", created {span((now - created).total_seconds())} ago"
    if status.phase is None:
        return f"{name}: no status yet{age}"
    return f"{name}: {status.phase}{f' ({one_line(status.reason)})' if status.reason else ''}{age}"


def _attempt(facts: Facts, status: TrainingJobStatus, crew: Crew) -> str:
    limit = ((facts.job.get("spec") or {}).get("restart") or {}).get("maxRestarts", 3)
    budget = f"{status.restarts_used} of {one_line(limit)} restarts used"
    if not status.attempt and not crew.members:
        return f"no attempt yet; {budget}"
    if facts.pods is None:
        pods = f"{status.workers.created} of {crew.desired} pods, {status.workers.ready} training"
    else:
        placed = sum(pod.scheduled for pod in crew.members.values())
        pods = f"{len(crew.members)} of {crew.desired} pods, {placed} on nodes, {crew.ready} training"
    return f"attempt {max(1, status.attempt)}: {pods}; {budget}"


def _pod_links(facts: Facts, crew: Crew, obstacle: Obstacle | None, *, now: datetime) -> Iterator[Link]:
    """The pod that speaks for what hinders, in full; the others as a number."""
    if obstacle is not None and obstacle.worker is not None:
        shown = crew.members[obstacle.worker]
    else:
        waiting = [pod for pod in crew.members.values() if not is_training(pod)]
        if not waiting:
            return
        shown = min(waiting, key=lambda pod: (not pod.scheduled, pod.worker))
    raw = next((pod for pod in facts.pods or () if pod["metadata"].get("uid") == shown.uid), {})
    where = f"on {shown.node}" if shown.node else "no node yet"
    phase = "terminating" if shown.deleting_since is not None else shown.phase
    head = f"pod {one_line(shown.name)} (worker {shown.worker}): {one_line(phase)}, {one_line(where)}"
    yield Link("pod", head, tuple(_inside(facts, shown, raw, obstacle, now=now)))
    others = len(crew.members) - 1 - crew.ready
    if others > 0:
        yield Link("pod", f"and {others} more that {'do' if others > 1 else 'does'} not train")


def _inside(
    facts: Facts, pod: PodFacts, raw: Mapping[str, Any], obstacle: Obstacle | None, *, now: datetime
) -> Iterator[Link]:
    if not pod.scheduled and pod.unschedulable:
        place = placing(pod.unschedulable, spec=None)
        nodes = tuple(node_links(facts.nodes, raw, place.lacking))
        yield Link("condition", f"condition PodScheduled=False: {pod.unschedulable}", nodes)
        return
    news = latest_news(facts.events.get(pod.uid, ()))
    said = () if news is None else (Link("event", _event(news, now=now)),)
    hanging = [each for each in pod.containers if each.exit_code is None and not each.started]
    if obstacle is not None and obstacle.container:
        hanging = [each for each in hanging if each.name == obstacle.container] or hanging
    if not hanging:
        yield from said
    for container in hanging[:1]:
        yield Link("container", f"container {one_line(container.name)}: {_state(container, now=now)}", said)


def _state(container: ContainerFacts, *, now: datetime) -> str:
    if container.running_since is not None:
        return f"runs for {span((now - container.running_since).total_seconds())}, has not joined the crew"
    return f"waits ({one_line(container.waiting_reason or 'no reason given', width=80)})"


def _event(event: Mapping[str, Any], *, now: datetime) -> str:
    at, count = parse_time(last_told(event)), event.get("count")
    ago = "" if at is None else f", {span((now - at).total_seconds())} ago"
    times = f" x{count}" if isinstance(count, int) and count > 1 else ""
    return f"event {one_line(event.get('reason') or '', width=80)}{times}{ago}: {one_line(event['message'])}"


def _gang_link(status: TrainingJobStatus) -> Iterator[Link]:
    """The gang as the status tells it, for whoever may not read PodGroups."""
    stated = find(status.conditions, ConditionType.GANG_SCHEDULED)
    if stated is not None:
        words = ": ".join(filter(None, (one_line(stated.reason), one_line(stated.message))))
        yield Link("group", f"gang: GangScheduled={one_line(stated.status)} ({words})")


def _not_joined(crew: Crew, *, now: datetime) -> str | None:
    """Workers that have run for long without joining their crew."""
    late = []
    for worker, pod in sorted(crew.members.items()):
        trainer = trainer_of(pod)
        if trainer is None or trainer.running_since is None or trainer.started or trainer.exit_code is not None:
            continue
        if (now - trainer.running_since).total_seconds() > LONG:
            late.append(worker)
    if not late:
        return None
    more = f" and {len(late) - 1} more" if len(late) > 1 else ""
    return f"worker {late[0]}{more} runs and has not joined the crew"


def _waiting(job: Mapping[str, Any], status: TrainingJobStatus, crew: Crew) -> tuple[str, str]:
    """Summary and next step of a job that nothing hinders."""
    if status.phase is Phase.RUNNING:
        return one_line(status.message), f"follow it: regatta watch {_name(job)}"
    if status.reason in _CAUSES:
        return (
            f"what the status says has healed: {one_line(status.message, width=300)}",
            "the status follows in a moment",
        )
    return one_line(status.message), "wait: its workers are on their way" if crew.members else "wait a moment"


def _name(job: Mapping[str, Any]) -> str:
    return one_line((job.get("metadata") or {}).get("name", ""))
