from __future__ import annotations

from typing import Any

import pytest

from regatta_feed.errors import SpecError
from regatta_feed.spec import read_spec

GOOD: dict[str, Any] = {
    "source": {"uri": "/data/train", "format": "ImageFolder"},
    "pipeline": [
        {"decodeImage": {"channels": 3}},
        {"randomResizedCrop": {"size": 224, "scale": [0.08, 1.0]}},
        {"randomHorizontalFlip": {}},
        {"colorJitter": {"brightness": 0.1, "contrast": 0.1, "saturation": 0.1, "hue": 0.1}},
        {"normalize": {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}},
    ],
    "batchSize": 64,
    "shuffle": {"seed": 3},
}


def with_steps(*steps: Any) -> dict[str, Any]:
    return {**GOOD, "pipeline": list(steps)}


def of(kind: str, *steps: Any) -> dict[str, Any]:
    return {**GOOD, "source": {"uri": "/d", "format": kind}, "pipeline": list(steps)}


TOKENIZE = {"tokenize": {"file": "tokenizer.json"}}
PACK = {"pack": {"length": 8}}


def test_the_block_stands_alone_under_its_key_or_in_a_job() -> None:
    read = [
        read_spec(raw)
        for raw in (GOOD, {"preprocessing": GOOD}, {"kind": "TrainingJob", "spec": {"preprocessing": GOOD}})
    ]
    assert read[0] == read[1] == read[2]
    assert [step.name for step in read[0].steps] == [next(iter(step)) for step in GOOD["pipeline"]]
    assert (read[0].seed, read[0].drop_last, read[0].epochs, read[0].fail_on_damage) == (3, True, None, False)


def test_without_shuffle_the_order_is_that_of_the_source_and_an_empty_shuffle_has_seed_0() -> None:
    assert read_spec({key: value for key, value in GOOD.items() if key != "shuffle"}).seed is None
    assert read_spec({**GOOD, "shuffle": {}}).seed == 0


@pytest.mark.parametrize(
    ("raw", "path", "words"),
    [
        ({}, "preprocessing.source", "is missing"),
        ([], "preprocessing", "no such block"),
        ({"spec": {}}, "preprocessing", "no such block"),
        ({**GOOD, "batchSize": 0}, "preprocessing.batchSize", "between 1 and"),
        ({**GOOD, "batchSize": True}, "preprocessing.batchSize", "whole number"),
        ({**GOOD, "batchsize": 4}, "preprocessing.batchsize", "did you mean batchSize?"),
        ({**GOOD, "dropLast": "yes"}, "preprocessing.dropLast", "true or false"),
        ({**GOOD, "shuffle": {"seed": -1}}, "preprocessing.shuffle.seed", "between 0"),
        ({**GOOD, "shuffle": {"buffer": 10}}, "preprocessing.shuffle.buffer", "no such field"),
        ({**GOOD, "onError": "Ignore"}, "preprocessing.onError", "Skip, Fail"),
        ({**GOOD, "source": {"uri": "/d", "format": "Zip"}}, "preprocessing.source.format", "one of ImageFolder"),
        ({**GOOD, "cache": "Raw"}, "preprocessing.cache", "one of None, Decoded"),
        ({**GOOD, "pipeline": {"scale": {}}}, "preprocessing.pipeline", "must be a list"),
        (with_steps({"decodeImage": {}, "scale": {}}), "preprocessing.pipeline[0]", "one key"),
        (with_steps({"decodeimage": {}}), "preprocessing.pipeline[0].decodeimage", "did you mean decodeImage?"),
        (with_steps({"scale": {}}), "preprocessing.pipeline[0]", "put decodeImage before it"),
        (
            with_steps({"decodeImage": {}}, {"scale": {}}, {"resize": {"size": 9}}),
            "preprocessing.pipeline[2]",
            "put it before",
        ),
        (with_steps(), "preprocessing.pipeline", "add decodeImage"),
        (with_steps({"decodeImage": {}}, {"mixUp": {}}), "preprocessing.pipeline[1].mixUp.classes", "is missing"),
        (
            with_steps({"decodeImage": {}}, {"oneHot": {"classes": 3}}, {"cutMix": {"classes": 4}}),
            "preprocessing.pipeline[2].cutMix.classes",
            "is 4, and before it 3",
        ),
        (
            with_steps({"decodeImage": {}}, {"mixUp": {"classes": 3}}, {"scale": {}}),
            "preprocessing.pipeline[2]",
            "cannot stand after mixUp",
        ),
        (of("Text"), "preprocessing.pipeline", "add tokenize"),
        (of("Text", TOKENIZE), "preprocessing.pipeline", "add pad or pack"),
        (of("Text", {"pad": {"length": 8}}), "preprocessing.pipeline[0]", "put tokenize before it"),
        (of("Text", {"tokenize": {}}), "preprocessing.pipeline[0].tokenize.file", "is missing"),
        (of("Text", TOKENIZE, PACK, TOKENIZE, PACK), "preprocessing.pipeline[3]", "only one pack"),
        (
            of("Text", {"python": {"module": "m", "function": "f"}}, TOKENIZE, PACK),
            "preprocessing.pipeline[0]",
            "cannot stand before pack",
        ),
        (of("Audio"), "preprocessing.pipeline", "add fixedLength"),
        (of("Audio", {"mel": {}}), "preprocessing.pipeline[0]", "put spectrogram before it"),
        (
            of("Audio", {"spectrogram": {"nFft": 8, "winLength": 9}}),
            "preprocessing.pipeline[0].spectrogram.winLength",
            "between 1 and 8",
        ),
        (
            of("Audio", {"spectrogram": {}}, {"mel": {"fMin": 10, "fMax": 5}}),
            "preprocessing.pipeline[1].mel.fMax",
            "more than fMin",
        ),
        (
            with_steps({"decodeImage": {"channels": 4}}),
            "preprocessing.pipeline[0].decodeImage.channels",
            "between 1 and 3",
        ),
        (with_steps({"decodeImage": {}}, {"resize": {}}), "preprocessing.pipeline[1].resize.size", "is missing"),
        (
            with_steps({"decodeImage": {}}, {"resize": {"size": [1, 2, 3]}}),
            "preprocessing.pipeline[1].resize.size",
            "height",
        ),
        (
            with_steps({"decodeImage": {}}, {"randomResizedCrop": {"size": 9, "scale": [1, 0.5]}}),
            "preprocessing.pipeline[1].randomResizedCrop.scale",
            "[smallest, largest]",
        ),
        (
            with_steps({"decodeImage": {}}, {"normalize": {"mean": [0, 0, 0], "std": [1]}}),
            "preprocessing.pipeline[1].normalize.std",
            "list of 3 numbers",
        ),
        (
            with_steps({"decodeImage": {}}, {"normalize": {"mean": [float("nan")], "std": [1]}}),
            "preprocessing.pipeline[1].normalize.mean",
            "numbers",
        ),
        (
            with_steps({"decodeImage": {}}, {"colorJitter": {"hue": 0.7}}),
            "preprocessing.pipeline[1].colorJitter.hue",
            "0.5",
        ),
        (
            with_steps({"python": {"module": "os; x", "function": "f"}}),
            "preprocessing.pipeline[0].python.module",
            "name of a module",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_path(raw: Any, path: str, words: str) -> None:
    with pytest.raises(SpecError) as caught:
        read_spec(raw)
    assert caught.value.path == path
    assert words in str(caught.value)
