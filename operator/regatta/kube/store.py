"""All pods we know, by job: the algebra of list, watch and write answers, free of any I/O.

Three sources tell of a pod: a watch in the order of versions, a list that may be older than the watch, and the
answers to our own writes, which may come before or after the watch tells the same. The store holds for every pod
the newest version that any of them told, and never a pod that is known to be gone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from regatta.kube.records import differs, is_newer, version_number
from regatta.plan.model import PodFacts

__all__ = ["JobKey", "PodStore"]

JobKey = tuple[str, str]
"""Namespace and name of a job."""


@dataclass(slots=True)
class _Scope:
    """What one stream (a namespace, or the whole cluster) has told so far."""

    seen: int = -1
    """Everything up to this version has been told."""
    pods: dict[tuple[str, str], PodFacts] = field(default_factory=dict)


class PodStore:
    """Pods by job, kept up to date from lists, watches and write answers; tells which jobs changed.

    Scopes are the streams that feed it: namespaces, or the single scope None for the whole cluster.
    """

    def __init__(self, *, scopes: Iterable[str | None] = (None,), changed: Callable[[JobKey], None]) -> None:
        self._scopes = {scope: _Scope() for scope in scopes}
        self._by_job: dict[JobKey, dict[str, PodFacts]] = {}
        self._changed = changed

    def __len__(self) -> int:
        return sum(len(scope.pods) for scope in self._scopes.values())

    def pods(self, job: JobKey) -> tuple[PodFacts, ...]:
        """All pods labelled with the job's name in its namespace."""
        return tuple(self._by_job.get(job, {}).values())

    def get(self, namespace: str, name: str) -> PodFacts | None:
        """The pod of that name."""
        return self._scope_of(namespace).pods.get((namespace, name))

    def jobs(self) -> tuple[JobKey, ...]:
        """Jobs that have at least one pod."""
        return tuple(self._by_job)

    def seen(self, scope: str | None) -> int:
        """The version up to which the scope's stream has told everything; -1 before the first list."""
        return self._scopes[scope].seen

    def upsert(self, pod: PodFacts) -> None:
        """Take what a write's answer told; ignored when the stream is already past it."""
        scope = self._scope_of(pod.namespace)
        known = scope.pods.get((pod.namespace, pod.name))
        if known is not None and known.uid == pod.uid:
            if is_newer(pod, known):
                self._put(scope, pod)
        elif version_number(pod.resource_version) > scope.seen and (known is None or is_newer(pod, known)):
            # Had the stream passed this version, it would have told of the pod: then it is gone already.
            self._put(scope, pod)

    def forget(self, pod: PodFacts) -> None:
        """Take that a write found the pod gone; ignored when the name belongs to another pod."""
        scope = self._scope_of(pod.namespace)
        known = scope.pods.get((pod.namespace, pod.name))
        if known is not None and known.uid == pod.uid:
            self._drop(scope, known)

    def event(self, scope: str | None, *, deleted: bool, pod: PodFacts) -> None:
        """Take a watch event."""
        state = self._scopes[scope]
        if version_number(pod.resource_version) <= state.seen:
            return  # A list that was made meanwhile told this and more.
        known = state.pods.get((pod.namespace, pod.name))
        # What is known may be newer only as the answer to a write of ours: then the event is its past.
        if known is None or not is_newer(known, pod):
            if not deleted:
                self._put(state, pod)
            elif known is not None:
                self._drop(state, known)
        self.bookmark(scope, pod.resource_version)

    def bookmark(self, scope: str | None, resource_version: str) -> None:
        """Take that the stream has told everything up to this version."""
        state = self._scopes[scope]
        state.seen = max(state.seen, version_number(resource_version))

    def replace(self, scope: str | None, *, pods: Iterable[PodFacts], resource_version: str) -> bool:
        """Take a complete list of the scope's pods as of a version; what it lacks is gone. Whether it told any news.

        The list must be a consistent read: an older one than what was seen means that the server's history was
        rewound (a restored backup), and then the list alone counts.
        """
        state = self._scopes[scope]
        listed_at = version_number(resource_version)
        rewound = listed_at < state.seen
        listed: set[tuple[str, str]] = set()
        news = False
        for pod in pods:
            listed.add((pod.namespace, pod.name))
            known = state.pods.get((pod.namespace, pod.name))
            if known is None or rewound or not is_newer(known, pod):
                news = news or known is None or known.resource_version != pod.resource_version
                self._put(state, pod)
        for name, known in list(state.pods.items()):
            # A pod newer than the list is one that we created after the list was made.
            if name not in listed and (rewound or version_number(known.resource_version) <= listed_at):
                self._drop(state, known)
                news = True
        state.seen = listed_at
        return news

    def _scope_of(self, namespace: str) -> _Scope:
        scope = self._scopes.get(namespace) or self._scopes.get(None)
        if scope is None:
            raise KeyError(f"namespace {namespace!r} is not watched")
        return scope

    def _put(self, scope: _Scope, pod: PodFacts) -> None:
        name = (pod.namespace, pod.name)
        known = scope.pods.get(name)
        scope.pods[name] = pod
        if known is not None and known.job != pod.job:
            self._leave(known)
            known = None
        job = (pod.namespace, pod.job)
        self._by_job.setdefault(job, {})[pod.name] = pod
        if known is None or differs(known, pod):
            self._changed(job)

    def _drop(self, scope: _Scope, pod: PodFacts) -> None:
        del scope.pods[pod.namespace, pod.name]
        self._leave(pod)

    def _leave(self, pod: PodFacts) -> None:
        job = (pod.namespace, pod.job)
        siblings = self._by_job[job]
        del siblings[pod.name]
        if not siblings:
            del self._by_job[job]
        self._changed(job)
