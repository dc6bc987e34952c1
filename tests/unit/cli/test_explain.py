"""What `regatta explain` says: the chain from a job to what hinders it, from JSON as the API server gives it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from regatta.cli.chain import Chain, chain_json, chain_lines
from regatta.cli.explain import explain
from regatta.cli.facts import Facts, pods_to_inspect, wants_nodes, wants_quotas
from regatta.cli.installed import Operator
from regatta.cli.view import Style
from tests.unit.cli import builders

NOW = datetime(2026, 1, 2, 12, 10, 0, tzinfo=UTC)
SPEC = {"command": ["python", "train.py"]}
QUEUED: dict[str, Any] = {"phase": "Queued", "reason": "WaitingForNodes", "attempt": 1, "observedGeneration": 1}
STARTING = {**QUEUED, "phase": "Starting", "reason": "WaitingForWorkers", "message": "0 of 2 workers have joined"}
GPU_WORDS = (
    "0/2 nodes are available: 2 Insufficient nvidia.com/gpu. no new claims to deallocate, preemption: "
    "0/2 nodes are available: 2 Preemption is not helpful for scheduling."
)
FAILURE = {
    "attempt": 1,
    "cause": "UserError",
    "pod": "digits-1-0",
    "node": "node1",
    "exitCode": 7,
    "message": "worker 0, rank 0 exited with code 7",
    "at": "2026-01-02T12:08:00Z",
    "action": "NewAttempt",
}


def job(*, spec: Mapping[str, Any] | None = None, generation: int = 1, **status: Any) -> dict[str, Any]:
    made: dict[str, Any] = builders.job(spec={**SPEC, **(spec or {})}, **status)
    made["metadata"]["generation"] = generation
    return made


def pod(
    worker: int,
    *,
    attempt: int = 1,
    node: str = "node1",
    waiting: tuple[str, str] | None = None,
    unschedulable: str = "",
    running_since: str = "",
    joined: bool = False,
    requests: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """A pod as the API server tells it, owned by the job of `job()`."""
    made = builders.pod(worker, attempt=attempt, node=node, phase="Running" if running_since else "Pending")
    made["metadata"]["labels"]["regatta.dev/job"] = "digits"
    made["metadata"]["namespace"] = "ml"
    made["metadata"]["ownerReferences"] = [{"kind": "TrainingJob", "controller": True, "uid": "uid-digits"}]
    made["spec"]["containers"][0]["resources"] = {"requests": dict(requests or {})}
    conditions: list[dict[str, Any]] = []
    if not node:
        del made["spec"]["nodeName"]
    elif unschedulable:
        del made["spec"]["nodeName"]
        conditions.append({"type": "PodScheduled", "status": "False", "message": unschedulable})
    else:
        conditions.append({"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-01-02T12:00:05Z"})
    state: dict[str, Any] = {}
    if running_since:
        state = {"running": {"startedAt": running_since}}
    elif waiting:
        state = {"waiting": {"reason": waiting[0], "message": waiting[1]}}
    container = {"name": "trainer", "state": state, "started": joined, "ready": joined}
    made["status"] = {
        "phase": "Running" if running_since else "Pending",
        "conditions": conditions,
        "containerStatuses": [] if unschedulable else [container],
    }
    return made


def event(
    reason: str, message: str, *, type_: str = "Warning", at: str = "2026-01-02T12:09:50Z", version: int = 1
) -> Any:
    return {
        "reason": reason,
        "message": message,
        "type": type_,
        "count": 4,
        "lastTimestamp": at,
        "metadata": {"resourceVersion": str(version)},
    }


def operator(*, ready: int = 1, namespaces: str = "") -> Operator:
    environment = {"REGATTA_OPERATOR_NAMESPACES": namespaces, "REGATTA_OPERATOR_LEASE_NAME": "regatta"}
    return Operator(
        namespace="regatta-system",
        name="regatta",
        version="1",
        image="example.test/operator:1",
        ready=ready,
        desired=1,
        environment=environment,
    )


def chain(made: Mapping[str, Any], *pods: Mapping[str, Any], **more: Any) -> Chain:
    return explain(Facts(job=made, pods=pods, **more), now=NOW)


def text(told: Chain) -> str:
    return "\n".join(chain_lines(told, style=Style(width=80, ascii_only=True)))


def flat(told: Chain) -> str:
    """The printed text without line breaks and branches."""
    return " ".join(text(told).replace("|", " ").split())


PULL = (
    'Back-off pulling image "r.test/a:1": ErrImagePull: rpc error: code = NotFound desc = failed to pull and unpack '
    'image "r.test/a:1": failed to resolve reference "r.test/a:1": r.test/a:1: not found'
)
MOUNT = 'MountVolume.SetUp failed for volume "regatta-source" : configmap "no-such" not found'
OVER_QUOTA = {
    **QUEUED,
    "reason": "QuotaExceeded",
    "nextTryTime": "2026-01-02T12:10:20Z",
    "message": "Pod digits-1-1: exceeded quota: q; the job needs 2 x 1 = 2 pods, the quota leaves it 1 of 1; raise it",
}
TRAINING = {
    "phase": "Running",
    "reason": "Training",
    "message": "4 processes train on 2 workers",
    "attempt": 2,
    "failures": [FAILURE],
    "failureCounts": {"UserError": 1},
}


def node(name: str, **allocatable: str) -> dict[str, Any]:
    offered = {key.replace("__", "/").replace("_", "."): value for key, value in allocatable.items()}
    return {"metadata": {"name": name}, "status": {"allocatable": offered}}


class TestAnObstacle:
    def test_is_a_pod_without_a_node_with_what_the_nodes_have(self) -> None:
        pods = [pod(w, unschedulable=GPU_WORDS, requests={"nvidia.com/gpu": "8"}) for w in (0, 1)]
        nodes = [node("n1", nvidia_com__gpu="4"), node("n2", cpu="64")]

        told = chain(job(**QUEUED), *pods, nodes=nodes)

        assert told.obstacle.startswith("no node takes 2 of 2 workers: Insufficient nvidia.com/gpu on 2 of 2 nodes")
        assert "spec.gpusPerWorker" in told.fix
        assert "nvidia.com/gpu: a worker asks for 8; 1 of 2 nodes have it, the largest (n1) 4" in flat(told)

    def test_is_a_resource_that_no_node_has_at_all(self) -> None:
        told = chain(job(**QUEUED), pod(0, unschedulable=GPU_WORDS), nodes=[node("n1", cpu="8"), node("n2", cpu="8")])

        assert "none of 2 nodes has nvidia.com/gpu" in flat(told)
        assert told.fix.startswith("add nodes that have nvidia.com/gpu (does its device plugin run?)")

    def test_is_an_image_with_the_registrys_answer_and_the_event(self) -> None:
        pods = [pod(0, waiting=("ImagePullBackOff", PULL)), pod(1)]

        told = chain(job(**STARTING), *pods, events={"uid-1-0": [event("BackOff", "Back-off pulling image")]})

        assert told.obstacle == "worker 0 on node node1: cannot get image r.test/a:1: not found"
        assert told.fix == "correct the name or push the image"
        lines = text(told)
        for words in ("attempt 1: 2 of 2 pods", "pod digits-1-0 (worker 0)", "trainer: waits (ImagePullBackOff)"):
            assert words in lines
        assert "event BackOff x4, 10s ago" in lines

    def test_is_an_event_where_the_pod_itself_is_silent(self) -> None:
        pods = [pod(0, waiting=("ContainerCreating", "")), pod(1, waiting=("ContainerCreating", ""))]

        told = chain(job(**STARTING), *pods, events={"uid-1-0": [event("FailedMount", MOUNT)]})

        assert told.obstacle == 'worker 0 on node node1: volume regatta-source: configmap "no-such" not found'
        assert told.fix.startswith("create the ConfigMap")

    def test_of_a_refused_pod_is_taken_from_the_status_with_the_quota_as_it_is_now(self) -> None:
        quota = {"metadata": {"name": "q"}, "status": {"hard": {"pods": "4"}, "used": {"pods": "1"}}}

        told = chain(job(**OVER_QUOTA), quotas=[quota])

        assert told.obstacle.endswith("the quota leaves it 1 of 1")
        assert told.fix == "raise it; next try in 20s"
        assert "quota q now: pods 1 of 4" in flat(told)

    def test_is_a_worker_that_runs_for_long_and_does_not_join(self) -> None:
        pods = [pod(0, running_since="2026-01-02T12:08:00Z"), pod(1, running_since="2026-01-02T12:09:30Z")]

        told = chain(job(**STARTING), *pods)

        assert told.obstacle == "worker 0 runs and has not joined the crew"
        assert "regatta logs digits" in told.fix
        assert "runs for 2m, has not joined the crew" in text(told)

    def test_is_shown_with_the_gang_that_waits_for_it(self) -> None:
        stated = {
            "type": "PodGroupInitiallyScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": "needs 2, fits 1",
        }
        group = {
            "metadata": {"name": "digits-1"},
            "spec": {"schedulingPolicy": {"gang": {"minCount": 2}}},
            "status": {"conditions": [stated]},
        }

        told = chain(job(**QUEUED), pod(0, node=""), groups=[group])

        assert told.obstacle == "no room yet for all 2 workers together: needs 2, fits 1"
        assert "PodGroup digits-1, needs 2 pods at once" in text(told)
        assert "PodGroupInitiallyScheduled=False (Unschedulable: needs 2, fits 1)" in flat(told)

    def test_is_the_statuss_own_word_where_its_source_may_not_be_read(self) -> None:
        gang = {"type": "GangScheduled", "status": "False", "reason": "Native", "message": "PodGroup digits-1 waits"}
        status = {
            **QUEUED,
            "reason": "Unschedulable",
            "message": "no room yet for all 2 workers together: fits 1; add nodes",
            "conditions": [{**gang, "lastTransitionTime": "2026-01-02T12:00:00Z"}],
        }

        told = chain(job(**status), pod(0, node=""), notes=("without PodGroups: not allowed",))

        assert told.obstacle == "no room yet for all 2 workers together: fits 1"
        assert told.fix == "add nodes"
        assert "GangScheduled=False (Native: PodGroup digits-1 waits)" in flat(told)

    def test_of_a_busy_api_server_is_taken_from_the_status(self) -> None:
        status = {
            **QUEUED,
            "reason": "CreateError",
            "message": "Pod digits-1-1: etcd is slow; the operator tries again",
        }

        told = chain(job(**status), pod(0))

        assert (told.obstacle, told.fix) == ("Pod digits-1-1: etcd is slow", "the operator tries again")

    def test_is_a_fault_of_the_operators_own(self) -> None:
        told = chain(job(**{**QUEUED, "reason": "OperatorError", "message": "the operator failed: KeyError"}), pod(0))

        assert told.obstacle == "the operator failed: KeyError"
        assert "report it" in told.fix

    def test_that_has_healed_is_said_to_have(self) -> None:
        stale = {**STARTING, "reason": "ConfigError", "message": "worker 0: configmap is missing"}
        pods = [pod(w, running_since="2026-01-02T12:09:50Z") for w in (0, 1)]

        told = chain(job(**stale), *pods)

        assert told.obstacle == ""
        assert "has healed" in told.summary


class TestAJob:
    def test_that_trains_is_hindered_by_nothing(self) -> None:
        pods = [pod(w, attempt=2, running_since="2026-01-02T12:01:00Z", joined=True) for w in (0, 1)]

        told = chain(job(**TRAINING), *pods)

        assert (told.obstacle, told.summary) == ("", "4 processes train on 2 workers")
        assert "Obstacle: none: 4 processes train" in text(told)
        assert "attempt 2: 2 of 2 pods, 2 on nodes, 2 training" in text(told)

    def test_that_has_just_been_made_is_asked_to_be_waited_for(self) -> None:
        fresh = job()
        fresh["metadata"]["creationTimestamp"] = "2026-01-02T12:09:55Z"

        told = chain(fresh)

        assert told.obstacle == ""
        assert "has not looked at the job so far" in told.summary

    def test_that_restarts_tells_its_failures_and_when_it_goes_on(self) -> None:
        status = {
            "phase": "Restarting",
            "reason": "UserError",
            "message": "attempt 1 failed: worker 0, rank 0 exited with code 7",
            "attempt": 2,
            "nextTryTime": "2026-01-02T12:10:30Z",
            "failures": [FAILURE],
            "failureCounts": {"UserError": 5},
        }

        told = chain(job(**status))

        assert told.obstacle == "attempt 1 failed: worker 0, rank 0 exited with code 7"
        assert told.fix == "none needed: attempt 2 starts in 30s"
        assert "4 earlier failures" in text(told)
        assert "(UserError, digits-1-0 on node1)" in flat(told)
        assert "a new attempt was made" in flat(told)

    def test_that_was_suspended_says_how_it_goes_on(self) -> None:
        told = chain(job(spec={"suspend": True}, phase="Suspended", reason="Suspended", attempt=1))

        assert "spec.suspend is true" in told.obstacle
        assert told.fix == """kubectl patch tj digits --type merge -p '{"spec":{"suspend":false}}'"""

    @pytest.mark.parametrize(
        ("reason", "message", "failures", "fix"),
        [
            pytest.param("UserError", "exit code 7", [FAILURE], "regatta logs digits", id="the program's fault"),
            pytest.param(
                "OOMKilled", "killed", [{**FAILURE, "cause": "OOMKilled"}], "resources.limits.memory", id="memory"
            ),
            pytest.param(
                "UserError",
                "worker 0: the image cannot start the command: no python3",
                [{**FAILURE, "message": "worker 0: the image cannot start the command: no python3; use another image"}],
                "use another image",
                id="an image that lacks the program",
            ),
            pytest.param("InvalidSpec", "spec.image: required", [], "correct the spec", id="a wrong spec"),
            pytest.param(
                "InvalidSpec", "Pod x: Invalid value; correct it and apply it anew", [], "apply it anew", id="refused"
            ),
            pytest.param("InvalidImageName", "bad", [], "correct spec.image", id="an image's name"),
        ],
    )
    def test_that_failed_says_why_and_where_to_look(
        self, reason: str, message: str, failures: list[Any], fix: str
    ) -> None:
        told = chain(job(phase="Failed", reason=reason, message=message, attempt=1, failures=failures))

        assert told.obstacle.startswith(f"{reason}: {message.split(';')[0]}")
        assert fix in told.fix

    def test_that_succeeded_says_how_long_it_took(self) -> None:
        times = {"startTime": "2026-01-02T12:01:00Z", "completionTime": "2026-01-02T12:05:00Z"}

        told = chain(job(phase="Succeeded", reason="Completed", message="all 2 workers ended", attempt=1, **times))

        assert (told.obstacle, told.summary) == ("", "all 2 workers ended, took 4m")


class TestTheOperator:
    STALE = {"spec": {"renewTime": "2026-01-02T12:05:00.000000Z", "leaseDurationSeconds": 15}}  # noqa: RUF012
    FRESH = {"spec": {"renewTime": "2026-01-02T12:09:58.000000Z", "leaseDurationSeconds": 15}}  # noqa: RUF012

    @pytest.mark.parametrize(
        ("made", "more", "words"),
        [
            pytest.param(job(), {"operators": []}, "no operator is installed", id="not installed"),
            pytest.param(job(), {"operators": [operator(ready=0)]}, "no pod of the operator", id="not ready"),
            pytest.param(
                job(),
                {"operators": [operator(namespaces="a,b")]},
                "does not serve namespace ml but a, b",
                id="elsewhere",
            ),
            pytest.param(
                job(**TRAINING), {"operators": [operator()], "lease": STALE}, "renewed 5m ago", id="nobody leads"
            ),
            pytest.param(job(), {"operators": [operator()], "lease": FRESH}, "looked at the job for 10m", id="silent"),
            pytest.param(
                job(generation=3, **TRAINING),
                {"operators": [operator()], "lease": FRESH},
                "latest spec (generation 3; it saw 1)",
                id="behind",
            ),
        ],
    )
    def test_that_does_not_act_is_the_first_obstacle(self, made: Any, more: dict[str, Any], words: str) -> None:
        made = {**made, "status": {**made["status"], **({"observedGeneration": 1} if made["status"] else {})}}

        told = chain(made, pod(0, waiting=("ImagePullBackOff", PULL)), **more)

        assert words in told.obstacle
        assert told.fix
        assert text(told).splitlines()[1].startswith(("|- operator:", "`- operator:"))

    @pytest.mark.parametrize(
        ("made", "more"),
        [
            pytest.param(job(**STARTING), {"operators": [operator(namespaces="ml")], "lease": FRESH}, id="it acts"),
            pytest.param(job(**STARTING), {"operators": None}, id="it can't be seen"),
            pytest.param(job(generation=2, **OVER_QUOTA), {}, id="it pauses"),
            pytest.param(
                job(generation=2, phase="Succeeded", observedGeneration=1), {"operators": []}, id="the job has ended"
            ),
        ],
    )
    def test_is_not_blamed_while(self, made: Any, more: dict[str, Any]) -> None:
        assert "operator" not in chain(made, **more).obstacle


def test_what_could_not_be_read_is_a_note() -> None:
    told = chain(job(**STARTING), notes=("without events: not allowed",))

    assert text(told).splitlines()[-1] == "Note:     without events: not allowed"


def test_without_the_pods_the_status_is_what_there_is() -> None:
    status = {**STARTING, "workers": {"desired": 2, "created": 2, "ready": 1}}

    told = explain(Facts(job=job(**status), pods=None), now=NOW)

    assert "attempt 1: 2 of 2 pods, 1 training" in text(told)
    assert told.summary == "0 of 2 workers have joined"


def test_no_line_is_wider_than_the_terminal() -> None:
    pods = [pod(w, unschedulable=GPU_WORDS * 5) for w in (0, 1)]

    for told in (chain(job(**QUEUED), *pods), chain(job(**OVER_QUOTA)), chain(job(**TRAINING))):
        assert max(map(len, text(told).splitlines())) <= 80


def test_foreign_text_commands_no_terminal_and_floods_none() -> None:
    evil = "\x1b[2J\u202e" + "word " * 50_000
    pods = [pod(0, waiting=("ImagePullBackOff", evil)), pod(1, unschedulable=evil)]

    told = chain(job(**STARTING), *pods, events={"uid-1-0": [event("Failed", evil)]}, notes=())

    assert "\x1b" not in text(told)
    assert "\u202e" not in text(told)
    assert len(text(told)) < 6000


def test_json_holds_the_chain_and_the_obstacle() -> None:
    told = chain_json(chain(job(**STARTING), pod(0, waiting=("ImagePullBackOff", PULL)), pod(1)))

    assert json.loads(json.dumps(told)) == told
    assert told["obstacle"].endswith("not found")
    assert [told["chain"]["kind"], *(link["kind"] for link in told["chain"]["links"])] == ["job", "attempt"]


@pytest.mark.parametrize(
    "odd",
    [
        {"metadata": {"name": "x"}},
        {"metadata": {"name": "x"}, "spec": None, "status": None},
        {"metadata": {"name": "x"}, "spec": {"workers": "many"}, "status": {"phase": "Starting", "failures": [7]}},
    ],
    ids=["bare", "null", "nonsense"],
)
def test_a_job_that_can_hardly_be_read_is_explained_all_the_same(odd: Any) -> None:
    assert "TrainingJob" in text(chain(odd))


class TestWhatIsRead:
    def test_events_are_of_pods_that_hang_on_a_node_first(self) -> None:
        pods = [pod(0, unschedulable="no"), pod(1, waiting=("ContainerCreating", ""))]

        assert pods_to_inspect(job(**STARTING), pods) == ("uid-1-1", "uid-1-0")
        assert pods_to_inspect(job(phase="Succeeded"), pods) == ()

    def test_nodes_are_read_only_for_a_lack_of_resources(self) -> None:
        assert wants_nodes([pod(0, unschedulable=GPU_WORDS)])
        assert not wants_nodes([pod(0, unschedulable="0/2 nodes are available: 2 node(s) were unschedulable.")])

    def test_quotas_are_read_only_where_one_hinders(self) -> None:
        assert wants_quotas(job(**OVER_QUOTA))
        assert not wants_quotas(job(**STARTING))
