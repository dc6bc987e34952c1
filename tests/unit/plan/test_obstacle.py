"""What a message names: the first real obstacle, in the words of whoever said it, and what helps."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regatta.api.status import MAX_MESSAGE, Cause
from regatta.plan.crew import Crew
from regatta.plan.model import ContainerFacts, Observed, PodFacts
from regatta.plan.obstacle import Obstacle, first_obstacle, silent_pods
from tests.builders import INSTALLATION, NOW, UID, PodBuilder, job, pod, seconds

NOT_HELPFUL = (
    "no new claims to deallocate, preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling."
)
IN_USE = (
    "no new claims to deallocate, preemption: 0/2 nodes are available: 1 No preemption victims found for incoming pod, "
    "1 Preemption is not helpful for scheduling."
)
RESOLVE = (
    'rpc error: code = NotFound desc = failed to pull and unpack image "r.test/a:1": '
    'failed to resolve reference "r.test/a:1": '
)


def obstacle(*pods: PodBuilder | PodFacts, warnings: dict[str, str] | None = None, **spec: Any) -> Obstacle | None:
    facts = tuple(each.obj() if isinstance(each, PodBuilder) else each for each in pods)
    crew = Crew.muster(facts, uid=UID, attempt=1, desired=max(2, len(facts)))
    observed = Observed(installation=INSTALLATION, pods=facts, warnings=warnings or {})
    return first_obstacle(crew, observed, job(**spec).obj().spec)


def told(*pods: PodBuilder | PodFacts, **more: Any) -> Obstacle:
    found = obstacle(*pods, **more)
    assert found is not None
    return found


class TestAPodWithoutANode:
    @pytest.mark.parametrize(
        ("words", "what", "fix"),
        [
            pytest.param(
                f"0/2 nodes are available: 2 Insufficient nvidia.com/gpu. {NOT_HELPFUL}",
                "Insufficient nvidia.com/gpu on 2 of 2 nodes; no node would suffice even if it were empty",
                "ask for less per worker in spec.gpusPerWorker, or add larger nodes",
                id="no node has so much",
            ),
            pytest.param(
                "0/2 nodes are available: 1 Insufficient nvidia.com/gpu, 1 node(s) had untolerated taint {a: b}. "
                + IN_USE,
                "Insufficient nvidia.com/gpu on 1 of 2 nodes, 1 of 2 nodes had untolerated taint {a: b}; "
                "other pods use what there is",
                "wait until others end, ask for less in spec.gpusPerWorker, or add nodes",
                id="it is in use",
            ),
            pytest.param(
                "0/2 nodes are available: 2 Insufficient cpu, 2 Insufficient memory. preemption: not eligible due to "
                "preemptionPolicy=Never.",
                "Insufficient cpu on 2 of 2 nodes, Insufficient memory on 2 of 2 nodes",
                "wait until others end, ask for less in spec.resources, or add nodes",
                id="nobody says whether it would ever fit",
            ),
            pytest.param(
                f"0/2 nodes are available: 2 node(s) had untolerated taint(s). {NOT_HELPFUL}",
                "2 of 2 nodes had untolerated taint(s)",
                "tolerate the taint in spec.scheduling.tolerations, or add nodes without it",
                id="taint",
            ),
            pytest.param(
                "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector.",
                "2 of 2 nodes didn't match Pod's node affinity/selector",
                "correct spec.scheduling.nodeSelector or affinity, or label a node",
                id="selector",
            ),
            pytest.param(
                "0/2 nodes are available: 2 node(s) were unschedulable.",
                "2 of 2 nodes were unschedulable",
                "let the cordoned nodes take pods again: kubectl uncordon NODE",
                id="cordoned",
            ),
            pytest.param(
                "0/2 nodes are available: 2 node(s) didn't match pod anti-affinity rules.",
                "2 of 2 nodes didn't match pod anti-affinity rules",
                "correct spec.scheduling.affinity, or add nodes",
                id="anti-affinity",
            ),
            pytest.param(
                "0/2 nodes are available: 2 node(s) didn't find available persistent volumes to bind.",
                "2 of 2 nodes didn't find available persistent volumes to bind",
                "provide a PersistentVolume that fits, or correct the claim's storageClassName",
                id="no volume to bind",
            ),
            pytest.param("no nodes available to schedule pods", "no nodes available", "add nodes", id="no nodes"),
            pytest.param("words of a day to come", "words of a day to come", "add nodes", id="unknown words"),
        ],
    )
    def test_is_told_with_what_the_nodes_lack(self, words: str, what: str, fix: str) -> None:
        found = told(pod(worker=0).unschedulable(words))

        assert found.cause is Cause.UNSCHEDULABLE
        assert found.what.startswith(f"no node takes worker 0: {what}")
        assert found.fix.startswith(fix)
        assert found.message == f"{found.what}; {found.fix}"

    def test_whose_volume_claim_is_missing_names_the_claim(self) -> None:
        found = told(
            pod(worker=0).unschedulable('0/2 nodes are available: persistentvolumeclaim "data" not found. not found')
        )

        assert found.cause is Cause.CONFIG_ERROR
        assert "the volume claim data does not exist" in found.what
        assert "create the PersistentVolumeClaim data" in found.fix

    def test_whose_volume_claim_is_unbound_names_the_claims_of_the_job(self) -> None:
        words = "0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found"
        claims = {
            "checkpoint": {"volume": {"persistentVolumeClaim": {"claimName": "kept"}}},
            "volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}, {"name": "e", "emptyDir": {}}],
        }

        found = told(pod(worker=0).unschedulable(words), **claims)

        assert found.cause is Cause.UNSCHEDULABLE
        assert "(kept, data)" in found.what

    def test_speaks_for_all_that_wait(self) -> None:
        assert "no node takes 2 of 2 workers" in told(pod(worker=0).unschedulable(), pod(worker=1).unschedulable()).what


class TestAGang:
    WAITS = (
        "pod group is unschedulable, minCount (3) cannot be satisfied: 2 scheduled, 0 remaining, pod group preemption: "
        "No preemption victims found for incoming preemptor"
    )

    def test_is_hindered_by_the_pod_that_finds_no_room_not_by_those_that_wait_for_it(self) -> None:
        waiting = [pod(worker=w).unschedulable(self.WAITS) for w in (0, 1)]

        found = told(*waiting, pod(worker=2).unschedulable("0/2 nodes are available: 2 Insufficient cpu."))

        assert found.cause is Cause.UNSCHEDULABLE
        assert found.worker == 2
        assert found.what == (
            "only 2 of the 3 workers that must start together find room: "
            "no node takes worker 2: Insufficient cpu on 2 of 2 nodes"
        )
        assert found.fix.startswith("wait until others end, ask for less in spec.resources")

    def test_of_which_no_pod_says_more_is_told_with_its_numbers(self) -> None:
        found = told(*(pod(worker=w).unschedulable(self.WAITS) for w in (0, 1, 2)))

        assert found.what == "only 2 of the 3 workers that must start together find room"
        assert found.fix.startswith("add nodes")


class TestAnImage:
    @pytest.mark.parametrize(
        ("words", "answer", "fix"),
        [
            pytest.param(f"{RESOLVE}r.test/a:1: not found", "not found", "correct the name or push", id="no such tag"),
            pytest.param(
                f'Back-off pulling image "r.test/a:1": ErrImagePull: {RESOLVE}r.test/a:1: not found',
                "not found",
                "correct the name or push",
                id="backing off",
            ),
            pytest.param(
                f"{RESOLVE}pull access denied, repository does not exist or may require authorization",
                "pull access denied, repository does not exist or may require authorization",
                "correct the name, or give a pull secret in podTemplate.spec.imagePullSecrets",
                id="denied",
            ),
            pytest.param(
                f'{RESOLVE}failed to do request: Head "https://r.test/v2/a/manifests/1": dial tcp: lookup r.test: '
                "no such host",
                'Head "https://r.test/v2/a/manifests/1": dial tcp: lookup r.test: no such host',
                "correct the registry's name, or let the nodes resolve it",
                id="no such registry",
            ),
            pytest.param(
                f'{RESOLVE}failed to do request: Head "https://r.test/v2/": dial tcp: lookup r.test on 10.0.0.53:53: '
                "read udp 10.0.3.11:39706->10.0.0.53:53: i/o timeout",
                'Head "https://r.test/v2/": dial tcp: lookup r.test on 10.0.0.53:53: i/o timeout',
                "correct the registry's name, or let the nodes reach it",
                id="no name server, without the port of this try",
            ),
            pytest.param(
                f'{RESOLVE}failed to do request: Head "https://r.test/v2/": dial tcp 10.0.0.1:443: connection refused',
                'Head "https://r.test/v2/": dial tcp 10.0.0.1:443: connection refused',
                "correct the registry's name, or let the nodes reach it",
                id="no answer",
            ),
            pytest.param(
                f"{RESOLVE}unexpected status from HEAD request to https://r.test/v2/a: 429 Too Many Requests",
                "unexpected status from HEAD request to https://r.test/v2/a: 429 Too Many Requests",
                "wait: the registry limits pulls",
                id="too many pulls",
            ),
            pytest.param(
                'Container image "r.test/a:1" is not present with pull policy of Never',
                'Container image "r.test/a:1" is not present with pull policy of Never',
                "load the image onto the node",
                id="never pulled",
            ),
            pytest.param('image "r.test/a:1": gremlins', "gremlins", "check the image's name", id="unknown words"),
        ],
    )
    def test_that_cannot_be_had_is_named_with_the_registrys_answer(self, words: str, answer: str, fix: str) -> None:
        found = told(pod(worker=0).waiting("ErrImagePull", words))

        assert found.cause is Cause.IMAGE_ERROR
        assert found.what.startswith("worker 0 on node node1: cannot get image r.test/a:1: ")
        assert found.what.endswith(answer)
        assert found.fix.startswith(fix)

    @pytest.mark.parametrize(
        ("image", "spec", "whose"),
        [
            ("r.test/a:1", {"image": "r.test/a:1"}, "(spec.image)"),
            ("example.test/runtime:1", {}, "(an image of the installation: chart values)"),
            ("example.test/pytorch:1", {}, "(the installation's default image: chart values, or name one in"),
        ],
        ids=["the job's", "the runtime's", "the default"],
    )
    def test_is_said_where_its_name_is_written(self, image: str, spec: dict[str, str], whose: str) -> None:
        words = f'failed to pull image "{image}": not found'
        assert whose in told(pod(worker=0).waiting("ErrImagePull", words), **spec).fix

    def test_without_any_words_is_told_by_its_reason(self) -> None:
        assert "ImagePullBackOff" in told(pod(worker=0).waiting("ImagePullBackOff")).what

    def test_whose_name_is_none_is_fatal(self) -> None:
        found = told(pod(worker=0).waiting("InvalidImageName", 'Failed to apply default image tag "A:1": bad'))

        assert (found.cause, found.fatal) == (Cause.INVALID_IMAGE_NAME, True)
        assert '"A:1"' in found.what


class TestAContainer:
    @pytest.mark.parametrize(
        ("reason", "words", "cause", "fix"),
        [
            ("CreateContainerConfigError", 'configmap "c" not found', Cause.CONFIG_ERROR, "create the ConfigMap"),
            ("CreateContainerConfigError", 'secret "s" not found', Cause.CONFIG_ERROR, "create the Secret"),
            (
                "CreateContainerConfigError",
                "couldn't find key k in ConfigMap team/c",
                Cause.CONFIG_ERROR,
                "add the key",
            ),
            (
                "CreateContainerConfigError",
                "container has runAsNonRoot and image will run as root",
                Cause.CONFIG_ERROR,
                "set podTemplate.spec.securityContext.runAsUser",
            ),
            (
                "CreateContainerConfigError",
                "container's runAsUser breaks non-root policy",
                Cause.CONFIG_ERROR,
                "set podTemplate.spec.securityContext.runAsUser to a number other than 0",
            ),
            (
                "CreateContainerError",
                'failed to create task: exec: "python3": executable file not found in $PATH',
                Cause.CREATE_ERROR,
                "correct the command, or use an image",
            ),
            ("RunContainerError", "gremlins", Cause.CREATE_ERROR, "kubectl describe pod"),
        ],
        ids=["ConfigMap", "Secret", "key", "root", "root all the same", "no program", "unknown words"],
    )
    def test_that_cannot_be_made_is_told_in_the_kubelets_words(
        self, reason: str, words: str, cause: Cause, fix: str
    ) -> None:
        found = told(pod(worker=0).waiting(reason, f'{words} (pod: "a_b(c)", container: trainer)'))

        assert found.cause is cause
        assert found.what == f"worker 0 on node node1: {words}"
        assert found.fix.startswith(fix)

    def test_beside_the_trainer_is_called_by_its_name(self) -> None:
        sidecar = ContainerFacts(
            name="feed", init=True, waiting_reason="CrashLoopBackOff", waiting_message="restarting failed container"
        )
        facts = pod(worker=0).scheduled().of(containers=(sidecar,)).facts

        found = told(facts)

        assert found.what.startswith("container feed of job-a-1-0 on node node1: ")
        assert (found.worker, found.container) == (0, "feed")

    def test_is_not_blamed_for_the_kubelets_own_start(self) -> None:
        words = "services have not yet been read at least once, cannot construct envvars"
        assert obstacle(pod(worker=0).waiting("CreateContainerConfigError", words)) is None


class TestAPodThatHangsOnItsNode:
    @pytest.mark.parametrize(
        ("words", "cause", "what", "fix"),
        [
            (
                'MountVolume.SetUp failed for volume "code" : configmap "c" not found',
                Cause.CONFIG_ERROR,
                'volume code: configmap "c" not found',
                "create the ConfigMap",
            ),
            (
                'Multi-Attach error for volume "pvc-1" Volume is already used by pod(s) x',
                Cause.CONFIG_ERROR,
                "Multi-Attach",
                "use a volume that several nodes can mount",
            ),
            (
                "Failed to create pod sandbox: plugin type=bridge failed (add): no address",
                Cause.CREATE_ERROR,
                "Failed to create pod sandbox",
                "have the node's network",
            ),
        ],
        ids=["missing", "attached elsewhere", "no network"],
    )
    def test_is_told_by_its_warning(self, words: str, cause: Cause, what: str, fix: str) -> None:
        found = told(pod(worker=0).waiting("ContainerCreating"), warnings={"job-a-1-0": words})

        assert found.cause is cause
        assert found.what.startswith(f"worker 0 on node node1: {what}")
        assert found.fix.startswith(fix)

    def test_is_not_told_of_a_warning_it_has_overcome(self) -> None:
        assert obstacle(pod(worker=0).started(), warnings={"job-a-1-0": "MountVolume.SetUp failed"}) is None

    def test_is_told_by_its_init_container_where_that_says_why(self) -> None:
        init = ContainerFacts(
            name="prep", init=True, waiting_reason="ImagePullBackOff", waiting_message='failed to pull image "i:1": no'
        )
        facts = pod(worker=0).waiting("PodInitializing").obj()
        hanging = replace(facts, containers=(init, *facts.containers))

        found = told(hanging, warnings={"job-a-1-0": "Error: ImagePullBackOff"})

        assert found.cause is Cause.IMAGE_ERROR
        assert found.what == "container prep of job-a-1-0 on node node1: cannot get image i:1: no"
        crew = Crew.muster([hanging], uid=UID, attempt=1, desired=1)
        assert silent_pods(crew, now=NOW + seconds(60)) == ()

    def test_is_asked_for_its_events_one_on_each_of_a_few_nodes(self) -> None:
        hanging = [
            pod(worker=w).waiting("ContainerCreating").of(node=f"node{w // 2}").obj()  # two on each node
            for w in range(20)
        ]
        crew = Crew.muster(hanging, uid=UID, attempt=1, desired=20)

        assert silent_pods(crew, now=NOW + seconds(2)) == ()
        assert silent_pods(crew, now=NOW + seconds(3)) == ("job-a-1-0", "job-a-1-2", "job-a-1-4", "job-a-1-6")


class TestTheOrder:
    FATAL = pod(worker=3).waiting("InvalidImageName", "bad name")
    CONFIG = pod(worker=2).waiting("CreateContainerConfigError", "no such key")
    IMAGE = pod(worker=1).waiting("ErrImagePull", "not found")
    UNPLACED = pod(worker=0).unschedulable()

    @pytest.mark.parametrize(
        ("pods", "cause"),
        [
            ((UNPLACED, IMAGE, CONFIG, FATAL), Cause.INVALID_IMAGE_NAME),
            ((UNPLACED, IMAGE, CONFIG), Cause.CONFIG_ERROR),
            ((UNPLACED, IMAGE), Cause.IMAGE_ERROR),
            ((UNPLACED,), Cause.UNSCHEDULABLE),
        ],
        ids=["what never heals", "a node without a mount", "a node without an image", "no node"],
    )
    def test_puts_first_what_is_nearest_to_running(self, pods: tuple[PodBuilder, ...], cause: Cause) -> None:
        assert told(*pods).cause is cause

    def test_lets_the_lowest_worker_speak_for_all(self) -> None:
        pods = [pod(worker=w).waiting("ErrImagePull", f"gone {w}") for w in (2, 0, 1)]

        found = told(*pods)

        assert found.worker == 0
        assert found.what.startswith("worker 0 and 2 more: ")

    def test_has_nothing_to_say_while_all_get_on(self) -> None:
        assert obstacle(pod(worker=0).joined(), pod(worker=1).started()) is None

    def test_leaves_out_pods_that_are_being_deleted(self) -> None:
        assert obstacle(pod(worker=0).unschedulable().deleting()) is None


REASONS = ["ErrImagePull", "CreateContainerConfigError", "CreateContainerError", "InvalidImageName", "", "Odd"]


@given(reason=st.sampled_from(REASONS), words=st.text(max_size=300), repeat=st.integers(1, 200))
def test_whatever_is_said_becomes_one_bounded_line(reason: str, words: str, repeat: int) -> None:
    said = words * repeat
    pods = [pod(worker=0).waiting(reason, said), pod(worker=1).unschedulable(f"0/2 nodes are available: {said}")]

    found = told(*pods, warnings={"job-a-1-0": said})

    assert len(found.message) <= MAX_MESSAGE
    assert "\n" not in found.message
    assert found.message.endswith(found.fix), "advice must not be what a long answer cuts off"


@pytest.mark.parametrize(
    "piece", ['image "', "failed to copy: ", "0/2 nodes are available: ", "1 a, ", 'MountVolume.x failed for volume "']
)
def test_a_flood_of_words_costs_no_time(piece: str) -> None:
    flood = piece * 300_000
    began = time.process_time()
    for reason in REASONS:
        obstacle(
            pod(worker=0).waiting(reason, flood), pod(worker=1).unschedulable(flood), warnings={"job-a-1-0": flood}
        )
    assert time.process_time() - began < 0.5
