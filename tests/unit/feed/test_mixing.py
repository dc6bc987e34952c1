"""mixUp and cutMix, against torchvision v2 (reference/make_mixing.py)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from regatta_feed.draws import Draws, fold
from regatta_feed.order import Order
from regatta_feed.params import Params
from regatta_feed.pipeline import Pipeline
from regatta_feed.sources import open_source
from regatta_feed.spec import read_spec
from regatta_feed.steps import STEPS
from regatta_feed.steps.mixing import Blend
from tests.unit.feed.pictures import image_folder

REFERENCE = np.load(Path(__file__).parent / "reference" / "mixing.npz")


def distance(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Kolmogorov's and Smirnov's."""
    points = np.concatenate((one, other))
    shares = [np.searchsorted(np.sort(each), points, "right") / len(each) for each in (one, other)]
    return float(np.abs(shares[0] - shares[1]).max())


def blends(name: str, alpha: float, count: int = 2000) -> list[Blend]:
    step: Any = STEPS[name].read(Params({"alpha": alpha, "classes": 2}, ""))
    return [step.blend(Draws(fold(7, key)), 90, 120) for key in range(count)]


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_weights_and_boxes_have_the_distribution_of_torchvision(alpha: float) -> None:
    limit = 0.0617  # 2,000 against 2,000: one in a thousand lies above
    weights = np.array([blend.weight for blend in blends("mixUp", alpha)])
    assert distance(weights, REFERENCE[f"weights{alpha}"]) < limit
    found = blends("cutMix", alpha)
    theirs = REFERENCE[f"boxes{alpha}"]
    assert distance(np.array([blend.weight for blend in found]), REFERENCE[f"lams{alpha}"]) < limit
    boxes = np.array([blend.box for blend in found])
    for ours, other in zip(boxes.T, (theirs[:, 1], theirs[:, 0], theirs[:, 3], theirs[:, 2]), strict=True):
        assert distance(ours, other) < limit
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    assert np.allclose([blend.weight for blend in found], 1 - areas / (90 * 120))


def test_the_smallest_and_largest_alpha_give_weights() -> None:
    for alpha in (0.01, 100.0):
        weights = [blend.weight for blend in blends("mixUp", alpha, 500)]
        assert all(0 <= weight <= 1 for weight in weights)
        assert np.mean(weights) == pytest.approx(0.5, abs=0.08)


@pytest.mark.parametrize("name", ["MixUp", "CutMix"])
def test_the_same_weight_or_box_gives_the_batch_of_torchvision(name: str) -> None:
    images, labels = REFERENCE["images"], np.eye(3, dtype=np.float32)[REFERENCE["labels"]]
    mixed, soft = REFERENCE[f"{name}_images"], REFERENCE[f"{name}_labels"]
    weight, box = float(soft[0, 0]), None
    if name == "CutMix":
        rows, columns = np.nonzero((mixed[0] != images[0]).any(0))
        box = (int(rows.min()), int(columns.min()), int(rows.max()) + 1, int(columns.max()) + 1)
    blend = Blend(weight, box)
    for number in range(3):
        out = np.empty_like(images[0])
        blend.into(out, images[number], images[number - 1], channels_first=True)
        assert np.abs(out - mixed[number]).max() < 1e-6
        assert np.abs(blend.label(labels[number], labels[number - 1]) - soft[number]).max() < 1e-6
        last = np.empty_like(out.transpose(1, 2, 0))
        own, before = (images[n].transpose(1, 2, 0) for n in (number, number - 1))
        blend.into(last, own, before, channels_first=False)
        assert np.array_equal(last.transpose(2, 0, 1), out)


def batch(root: Path, *steps: Any, parts: list[range], layout: str = "NCHW", step: int = 1) -> dict[str, Any]:
    raw = {"source": {"uri": str(root), "format": "ImageFolder"}, "batchSize": 8}
    chain = [{"decodeImage": {}}, {"resize": {"size": [20, 24]}}, {"scale": {}}, *steps]
    spec = read_spec({**raw, "pipeline": chain})
    source = open_source(spec.source)
    pipeline = Pipeline(source, spec.steps, Order(samples=len(source), world=1, batch=8, seed=3))
    schema = pipeline.schema(layout)
    arrays = {field.name: np.zeros((8, *field.shape), field.dtype) for field in schema.fields}
    for part in parts:
        pipeline.fill(arrays, schema, epoch=2, step=step, rank=0, part=part)
    return arrays


@pytest.mark.parametrize("name", ["mixUp", "cutMix"])
def test_a_batch_is_the_same_in_whatever_parts_it_is_written(tmp_path: Path, name: str) -> None:
    root = image_folder(tmp_path, 24, classes=3)
    mixing = {name: {"classes": 3}}
    whole = batch(root, mixing, parts=[range(8)])
    pieces = batch(root, mixing, parts=[range(5, 8), range(3), range(3, 5)])
    last = batch(root, mixing, parts=[range(8)], layout="NHWC")
    plain = batch(root, {"oneHot": {"classes": 3}}, parts=[range(8)])
    assert all(np.array_equal(whole[key], pieces[key]) for key in whole)
    assert np.array_equal(whole["data"], last["data"].transpose(0, 3, 1, 2))
    assert np.allclose(whole["label"].sum(1), 1)
    own, before = plain["label"], np.roll(plain["label"], 1, 0)
    weight = float((whole["label"] * own).sum(1)[(own != before).any(1)][0])
    assert 0 < weight < 1
    assert np.allclose(whole["label"], own * weight + before * (1 - weight), atol=1e-6)
    if name == "mixUp":
        wanted = plain["data"] * weight + np.roll(plain["data"], 1, 0) * (1 - weight)
        assert np.abs(whole["data"] - wanted).max() < 1e-6


def test_of_both_each_batch_has_one(tmp_path: Path) -> None:
    root = image_folder(tmp_path, 160)
    both = [{"mixUp": {"classes": 2}}, {"cutMix": {"classes": 2}}]
    plain = [batch(root, {"oneHot": {"classes": 2}}, parts=[range(8)], step=step)["data"] for step in range(20)]
    mixed = [batch(root, *both, parts=[range(8)], step=step)["data"] for step in range(20)]
    shares = [float(np.mean(one == other)) for one, other in zip(plain, mixed, strict=True)]
    assert 3 < sum(share < 0.02 for share in shares) < 17
