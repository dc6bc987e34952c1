"""`render` shows what the operator's own planner would create, and says what to look at."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from regatta.api.spec import TrainingJobSpec
from regatta.cli.manifest import Manifest
from regatta.cli.render import EXAMPLE_UID, Rendering, default_installation, rendering, selected, to_yaml
from regatta.cli.warnings import warnings
from regatta.errors import UsageError

SOUND = {
    "framework": "PyTorch",
    "command": ["python", "train.py"],
    "image": "registry.example/app:1.0",
    "workers": 3,
    "resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1"}},
    "checkpoint": {"volume": {"persistentVolumeClaim": {"claimName": "ck"}}},
}


def render(metadata: Any = None, **spec: Any) -> Rendering:
    merged = {key: value for key, value in {**SOUND, **spec}.items() if value is not ...}
    manifest = Manifest(object={"metadata": metadata or {"name": "digits"}, "spec": merged}, lines={})
    return rendering(manifest, installation=default_installation(), namespace="ml")


def test_the_children_are_a_service_and_a_pod_for_each_worker() -> None:
    result = render()

    assert [(create.kind, create.name) for create in result.creates] == [
        ("Service", "digits"),
        ("Pod", "digits-1-0"),
        ("Pod", "digits-1-1"),
        ("Pod", "digits-1-2"),
    ]
    assert result.problems == ()


def test_inline_code_adds_a_config_map() -> None:
    kinds = [create.kind for create in render(source={"inline": {"train.py": "x = 1\n"}}).creates]

    assert kinds[:2] == ["ConfigMap", "Service"]


def test_the_namespace_is_the_manifests_or_the_one_asked_for() -> None:
    asked = render().creates[0].body["metadata"]["namespace"]
    own = render({"name": "digits", "namespace": "own"}).creates[0].body["metadata"]["namespace"]

    assert (asked, own) == ("ml", "own")


def test_what_is_wrong_is_all_that_is_said() -> None:
    result = render(workers=0)

    assert [problem.path for problem in result.problems] == ["spec.workers"]
    assert (result.creates, result.warnings) == ((), ())


def test_a_framework_without_image_here_is_a_problem_not_a_crash() -> None:
    manifest = Manifest(object={"metadata": {"name": "digits"}, "spec": {**SOUND, "image": None}}, lines={})
    bare = default_installation()
    result = rendering(
        manifest,
        installation=type(bare)(runtime_image=bare.runtime_image, operator_image=bare.operator_image),
        namespace="ml",
    )

    assert [problem.path for problem in result.problems] == ["spec.image"]


def test_one_worker_stands_for_all_unless_asked() -> None:
    creates = render().creates

    shown, alike = selected(creates, worker=None, everything=False)
    assert [create.name for create in shown] == ["digits", "digits-1-0"]
    assert alike == ["digits-1-1", "digits-1-2"]
    assert [create.name for create in selected(creates, worker=2, everything=False)[0]] == ["digits-1-2"]
    assert selected(creates, worker=None, everything=True) == (list(creates), [])


def test_a_worker_that_does_not_exist_is_a_wrong_call() -> None:
    with pytest.raises(UsageError, match="workers 0 to 2"):
        selected(render().creates, worker=3, everything=False)


def test_the_yaml_is_exactly_the_children() -> None:
    creates = render(source={"inline": {"train.py": "import torch\nprint('x: {y}')\n", "b.py": ""}}).creates

    documents = list(yaml.safe_load_all("".join(to_yaml(creates))))
    assert documents == [create.body for create in creates]
    assert all(doc["metadata"]["ownerReferences"][0]["uid"] == EXAMPLE_UID for doc in documents)


def test_code_stays_legible() -> None:
    text = "".join(to_yaml(render(source={"inline": {"train.py": "import torch\nprint(1)\n"}}).creates[:1]))

    assert "  train.py: |\n    import torch\n    print(1)\n" in text


def test_a_sound_job_is_not_warned_about() -> None:
    assert render().warnings == ()


@pytest.mark.parametrize(
    ("spec", "path", "words"),
    [
        ({"checkpoint": ...}, "spec.checkpoint", "begins at the first step"),
        ({"checkpoint": {"volume": {"emptyDir": {}}}}, "spec.checkpoint.volume", "gone with its pod"),
        ({"checkpoint": {"volume": {"hostPath": {"path": "/x"}}}}, "spec.checkpoint.volume", "one node"),
        ({"image": "registry.example:5000/app"}, "spec.image", "latest moves"),
        ({"image": "app:nightly"}, "spec.image", "nightly moves"),
        ({"resources": ...}, "spec.resources", "no cpu and memory"),
        ({"resources": {"limits": {"cpu": 1}}}, "spec.resources", "no memory"),
        (
            {"processesPerWorker": 2, "resources": {"requests": {"cpu": 1, "memory": "1Gi"}}},
            "spec.resources.limits.cpu",
            "2 processes",
        ),
        ({"gpusPerWorker": 2, "processesPerWorker": 4}, "spec.processesPerWorker", "share 2 GPUs"),
        ({"gpusPerWorker": 8, "processesPerWorker": 1}, "spec.processesPerWorker", "others idle"),
        ({"deadlines": {"starting": None}}, "spec.deadlines.starting", "for ever"),
        ({"runtime": "Off"}, "spec.runtime", "measures"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_will_disappoint_is_said(spec: dict[str, Any], path: str, words: str) -> None:
    (warning,) = render(**spec).warnings

    assert warning.path == path
    assert words in warning.message


@pytest.mark.parametrize("image", ["app@sha256:" + "0" * 64, "app:1.0", "registry.example:5000/app:v2", None])
def test_an_image_that_stays_is_fine(image: str | None) -> None:
    assert list(warnings(TrainingJobSpec.from_api({**SOUND, "image": image}))) == []


def test_no_restarts_need_no_checkpoint() -> None:
    assert render(checkpoint=..., restart={"maxRestarts": 0}).warnings == ()


def test_resources_in_the_overlay_count() -> None:
    overlay = {"spec": {"containers": [{"name": "trainer", "resources": {"requests": {"cpu": 1}}}]}}

    assert render(resources=..., podTemplate=overlay).warnings == ()
