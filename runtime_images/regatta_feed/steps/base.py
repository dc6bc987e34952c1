"""What every step is to the pipeline: it takes a sample of some kind and gives one of another."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self

from regatta_feed.draws import Draws
from regatta_feed.params import Params

__all__ = ["Item", "Kind", "Step"]


class Kind(enum.Enum):
    """What a sample is between two steps."""

    ENCODED = "an encoded image"
    IMAGE = "an image of bytes"
    NUMBERS = "an array of floating point numbers"
    TEXT = "a text"
    TOKENS = "a row of tokens"
    AUDIO = "a sound"
    SPECTRUM = "a spectrogram"
    ANY = "what only a look at it tells"
    """Of a source that stores what it likes, or after the user's own step."""


@dataclass(slots=True)
class Item:
    """A sample on its way through the pipeline; steps change it."""

    value: Any
    label: Any
    name: str = ""
    mask: Any = None
    """Of what `pad` has filled up: true where the values are the sample's own."""


class Step(Protocol):
    """One step. It is made once, before the feed's processes are, and holds nothing that changes."""

    name: ClassVar[str]
    takes: ClassVar[Kind | None]
    """None where the step does not touch the value, only the label or the end of the pipeline."""
    random: ClassVar[bool]

    @classmethod
    def read(cls, params: Params) -> Self:
        """The step as the user wrote it; raises SpecError."""
        ...

    def gives(self, kind: Kind) -> Kind:
        """The kind of what comes out."""
        ...

    def apply(self, item: Item, draws: Draws) -> None:
        """Do it; raises DamagedError where it is the sample's fault."""
        ...
