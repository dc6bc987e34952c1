"""The examples train what they say they do, as they stand in the repository."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.kit import Playground

pytestmark = pytest.mark.cluster

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def manifest(example: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((EXAMPLES / example / "job.yaml").read_text())
    return loaded


def train(place: Playground, example: str, **fields: object) -> str:
    """Log of worker 0 after the success of the example, with fields of its spec changed."""
    job = manifest(example)
    job["spec"].update(fields)
    name = job["metadata"]["name"]
    place.api.create("trainingjobs", job, namespace=place.namespace)
    place.wait_phase(name, "Succeeded", timeout=240)
    return place.log(place.pods(name)[0]["metadata"]["name"])


@pytest.mark.parametrize(
    ("example", "fields"),
    [
        pytest.param("pytorch-digits", {}, id="PyTorch"),
        pytest.param("tensorflow-digits", {}, id="TensorFlow"),
        pytest.param("keras-digits", {}, id="Keras on PyTorch"),
        pytest.param("keras-digits", {"kerasBackend": "tensorflow"}, id="Keras on TensorFlow"),
        pytest.param("horovod-digits", {}, id="Horovod"),
    ],
)
def test_the_digits_are_learned_to_the_accuracy_that_the_example_states(
    playground: Playground, example: str, fields: dict[str, object]
) -> None:
    log = train(playground, example, **fields)

    [accuracy] = re.findall(r"test accuracy: (\d\.\d+)", log)
    assert float(accuracy) >= 0.95


def test_an_ordinary_script_without_a_word_of_regatta_trains_on_two_workers(playground: Playground) -> None:
    assert "regatta_runtime" not in manifest("first-job")["spec"]["source"]["inline"]["train.py"]

    log = train(playground, "first-job")

    assert "process 0 of 2: y = " in log
