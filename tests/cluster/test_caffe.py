"""Caffe models compute in the PyTorch image what OpenCV, which shares no line with the importer, computes with them."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest
import yaml

from tests.caffe import nets
from tests.cluster.kit import Playground, job, program, results

pytestmark = pytest.mark.cluster

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "caffe-finetune"
TOLERANCE = 1e-4
SEEDS = range(3)


def provide(place: Playground, name: str, files: dict[str, bytes]) -> None:
    """Make a ConfigMap as `kubectl create configmap --from-file` does: what is no text goes into binaryData."""
    body: dict[str, object] = {"metadata": {"name": name}, "data": {}, "binaryData": {}}
    for key, content in files.items():
        try:
            body["data"][key] = content.decode()  # type: ignore[index]
        except UnicodeDecodeError:
            body["binaryData"][key] = base64.b64encode(content).decode()  # type: ignore[index]
    place.api.create("configmaps", body, namespace=place.namespace)


def test_every_layer_agrees_with_opencv_and_learns_and_what_cannot_be_loaded_is_refused(playground: Playground) -> None:
    packed = nets.archive(nets.CASES, SEEDS)
    provide(playground, "nets", {"nets.zip": packed, "train.py": program("caffe_nets").encode()})
    one = job("nets").set(source={"configMap": {"name": "nets"}}).command("python", "train.py")

    playground.wait_phase(playground.apply(one), "Succeeded", timeout=240)
    [facts] = results(playground.log(playground.pods("nets")[0]["metadata"]["name"]))

    assert facts["differences"].keys() == {f"{name}-{seed}" for name in nets.CASES for seed in SEEDS}
    far = {
        name: found
        for name, found in facts["differences"].items()
        if not (isinstance(found, float) and found <= TOLERANCE)
    }
    assert far == {}
    assert {name: found for name, found in facts["untrained"].items() if found} == {}
    assert re.match(
        "UnsupportedLayerError: layer 'abs' of type 'Imaginary': its type is", facts["refused"]["unknown layer"]
    )
    assert "its relu_param.sharpness is not supported" in facts["refused"]["unknown setting"]
    assert "no weights of layer 'other' in the file" in facts["refused"]["no weights"]
    assert {name: found for name, found in facts["damaged"].items() if found} == {}


def test_the_example_agrees_with_opencv_and_learns_the_digits_to_the_accuracy_that_it_states(
    playground: Playground,
) -> None:
    manifest = yaml.safe_load((EXAMPLE / "job.yaml").read_text())
    named = re.findall(r"--from-file=(\S+)", (EXAMPLE / "job.yaml").read_text())
    provide(playground, "caffe-lenet", {name: (EXAMPLE / name).read_bytes() for name in named})

    playground.api.create("trainingjobs", manifest, namespace=playground.namespace)
    playground.wait_phase("caffe-finetune", "Succeeded", timeout=300)
    log = playground.log(playground.pods("caffe-finetune")[0]["metadata"]["name"])

    [difference] = re.findall(r"largest difference to the reference: (\S+)", log)
    [accuracy] = re.findall(r"test accuracy: (\d\.\d+)", log)
    assert float(difference) <= TOLERANCE
    assert float(accuracy) >= 0.95
