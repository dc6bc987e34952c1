"""Steps of a pipeline: one class each, one line each in the table below.

What a step takes is checked against what the one before it gives when the pipeline is read, so that a wrong order is
told before any data is.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, Final

from regatta_feed.errors import SpecError
from regatta_feed.params import Params
from regatta_feed.steps.audio import FixedLength, Log, Mel, Mono, Resample, Spectrogram
from regatta_feed.steps.base import Item, Kind, Step
from regatta_feed.steps.colour import ColorJitter
from regatta_feed.steps.decode import DecodeImage
from regatta_feed.steps.geometry import (
    CenterCrop,
    RandomHorizontalFlip,
    RandomResizedCrop,
    RandomRotation,
    RandomVerticalFlip,
    Resize,
)
from regatta_feed.steps.mixing import CutMix, MixUp
from regatta_feed.steps.text import Pack, Pad, Tokenize
from regatta_feed.steps.user import Python
from regatta_feed.steps.values import Cast, ClassIndex, Layout, Normalize, OneHot, Scale

__all__ = ["STEPS", "Item", "Kind", "Step", "read_steps"]

STEPS: Final[dict[str, type[Step]]] = {
    step.name: step
    for step in (
        DecodeImage,
        Resize,
        CenterCrop,
        RandomResizedCrop,
        RandomHorizontalFlip,
        RandomVerticalFlip,
        RandomRotation,
        ColorJitter,
        Normalize,
        Scale,
        Cast,
        Layout,
        ClassIndex,
        OneHot,
        Python,
        Tokenize,
        Pad,
        Pack,
        Resample,
        Mono,
        Spectrogram,
        Mel,
        Log,
        FixedLength,
        MixUp,
        CutMix,
    )
}
_BEGINS_WITH: Final = {"ImageFolder": Kind.ENCODED, "Text": Kind.TEXT, "Audio": Kind.AUDIO}
_ACCEPTED: Final = {
    Kind.ENCODED: {Kind.ENCODED, Kind.ANY},
    Kind.IMAGE: {Kind.IMAGE, Kind.ANY},
    Kind.NUMBERS: {Kind.IMAGE, Kind.NUMBERS, Kind.AUDIO, Kind.SPECTRUM, Kind.ANY},
    Kind.TEXT: {Kind.TEXT, Kind.ANY},
    Kind.TOKENS: {Kind.TOKENS, Kind.ANY},
    Kind.AUDIO: {Kind.AUDIO, Kind.SPECTRUM, Kind.ANY},
    Kind.SPECTRUM: {Kind.SPECTRUM, Kind.ANY},
    Kind.ANY: set(Kind),
}


def read_steps(raw: Sequence[Any], *, path: str, source: str) -> tuple[Step, ...]:
    """The steps as the user wrote them; raises SpecError with the path of what is wrong."""
    kind = _BEGINS_WITH.get(source, Kind.ANY)
    steps = []
    for number, each in enumerate(raw):
        here = f"{path}[{number}]"
        if isinstance(each, str):
            each = {each: {}}
        if not isinstance(each, Mapping) or len(each) != 1:
            raise SpecError(here, "must be an object with one key, the step's name, such as {scale: {}}")
        name, value = next(iter(each.items()))
        params = Params(value, f"{here}.{name}")
        step = _known(str(name), here).read(params)
        params.close()
        if step.takes is not None:
            if kind not in _ACCEPTED[step.takes]:
                raise SpecError(
                    here, f"{name} takes {step.takes.value}, and here it would get {kind.value}{_advice(kind)}"
                )
            kind = step.gives(kind)
        steps.append(step)
    check_order(steps, path)
    if kind in _NEEDED:
        raise SpecError(path, f"the batches would hold {kind.value}; add {_NEEDED[kind]}")
    if source == "Audio" and not any(step.takes is not None for step in steps):
        raise SpecError(path, "the batches would hold files; add fixedLength")
    return tuple(steps)


def check_order(steps: Sequence[Step], path: str) -> None:
    """What the kinds alone do not say."""
    packs = [number for number, step in enumerate(steps) if isinstance(step, Pack)]
    if len(packs) > 1:
        raise SpecError(f"{path}[{packs[1]}]", "there can be only one pack")
    for number in range(packs[0] if packs else 0):
        if steps[number].random:
            raise SpecError(
                f"{path}[{number}]", f"{steps[number].name} cannot stand before pack, which is done once for all epochs"
            )
    mixing, classes = "", None
    for number, step in enumerate(steps):
        here = f"{path}[{number}].{step.name}"
        if isinstance(step, OneHot | MixUp | CutMix):
            if step.classes is None and classes is None:
                raise SpecError(f"{here}.classes", "is missing")
            if step.classes is not None and classes not in (None, step.classes):
                raise SpecError(f"{here}.classes", f"is {step.classes}, and before it {classes}")
            classes = step.classes or classes
        if isinstance(step, MixUp | CutMix):
            mixing = step.name
        elif mixing and not isinstance(step, Layout):
            raise SpecError(f"{path}[{number}]", f"{step.name} cannot stand after {mixing}, which mixes whole samples")


_NEEDED: Final = {
    Kind.ENCODED: "decodeImage",
    Kind.TEXT: "tokenize, or a step python that makes numbers of the text",
    Kind.TOKENS: "pad or pack, for all samples of a batch must be of one length",
}


def _known(name: str, path: str) -> type[Step]:
    if name not in STEPS:
        near = difflib.get_close_matches(name, STEPS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(STEPS)}"
        raise SpecError(f"{path}.{name}", f"no such step; {hint}")
    return STEPS[name]


def _advice(kind: Kind) -> str:
    match kind:
        case Kind.ENCODED:
            return "; put decodeImage before it"
        case Kind.NUMBERS:
            return "; put it before normalize, scale and cast"
        case Kind.AUDIO:
            return "; put spectrogram before it"
        case Kind.TEXT:
            return "; put tokenize before it"
        case _:
            return ""
