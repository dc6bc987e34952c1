"""Text: tokenize, pad, and pack, which makes samples of its own (see `packing`)."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from regatta_feed.draws import Draws
from regatta_feed.errors import DamagedError, StepError
from regatta_feed.params import Params
from regatta_feed.steps.base import Item, Kind

__all__ = ["Pack", "Pad", "Tokenize"]

LENGTH_LIMIT = 1 << 20
ID_LIMIT = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Tokenize:
    """A text to the numbers of its tokens, by a file of the library tokenizers."""

    name: ClassVar = "tokenize"
    takes: ClassVar = Kind.TEXT
    random: ClassVar = False
    file: str
    special: bool

    @classmethod
    def read(cls, params: Params) -> Self:
        return cls(params.text("file"), params.boolean("specialTokens", True))

    def gives(self, kind: Kind) -> Kind:
        return Kind.TOKENS

    def apply(self, item: Item, draws: Draws) -> None:
        if not isinstance(item.value, bytes):
            raise StepError(f"{item.name}: tokenize wants text, not {type(item.value).__name__}")
        try:
            text = item.value.decode("utf-8")
        except UnicodeDecodeError as error:
            raise DamagedError("encoding", f"{item.name}: not UTF-8: {error.reason} at {error.start}") from error
        ids = _tokenizer(self.file).encode(text, add_special_tokens=self.special).ids
        item.value = np.asarray(ids, np.int64)

    def text(self, tokens: Any) -> str:
        """What a row of tokens says."""
        return str(_tokenizer(self.file).decode([int(each) for each in tokens], skip_special_tokens=False))


@functools.cache
def _tokenizer(file: str) -> Any:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the feed's processes are its parallelism
    try:
        import tokenizers
    except ImportError as error:
        raise StepError("tokenize needs tokenizers: pip install 'regatta-operator[feed]'") from error
    try:
        found = tokenizers.Tokenizer.from_file(file)
    except Exception as error:  # the library raises nothing narrower
        raise StepError(f"tokenize: {file} cannot be used as a tokenizer: {error}") from error
    found.no_padding()
    found.no_truncation()
    return found


@dataclass(frozen=True, slots=True)
class Pad:
    """Tokens to a length: shorter ones are filled up, longer ones cut. A mask says which are the text's own."""

    name: ClassVar = "pad"
    takes: ClassVar = Kind.TOKENS
    random: ClassVar = False
    length: int
    value: int

    @classmethod
    def read(cls, params: Params) -> Self:
        return cls(params.integer("length", low=1, high=LENGTH_LIMIT), params.integer("value", 0, low=0, high=ID_LIMIT))

    def gives(self, kind: Kind) -> Kind:
        return Kind.ANY

    def apply(self, item: Item, draws: Draws) -> None:
        tokens = row(item)
        count = min(len(tokens), self.length)
        padded = np.full(self.length, self.value, tokens.dtype)
        padded[:count] = tokens[:count]
        item.value, item.mask = padded, (np.arange(self.length) < count)


@dataclass(frozen=True, slots=True)
class Pack:
    """All texts one after the other, cut into samples of one length. Done before the feed begins."""

    name: ClassVar = "pack"
    takes: ClassVar = Kind.TOKENS
    random: ClassVar = False
    length: int
    separator: int | None

    @classmethod
    def read(cls, params: Params) -> Self:
        return cls(
            params.integer("length", low=1, high=LENGTH_LIMIT),
            params.integer("separator", None, low=0, high=ID_LIMIT),
        )

    def gives(self, kind: Kind) -> Kind:
        return Kind.ANY

    def apply(self, item: Item, draws: Draws) -> None:
        raise StepError("pack is not done sample by sample")


def row(item: Item) -> np.ndarray[Any, np.dtype[np.integer[Any]]]:
    """The tokens of an item."""
    value = item.value
    if not isinstance(value, np.ndarray) or value.ndim != 1 or value.dtype.kind not in "iu":
        raise StepError(f"{item.name}: this step wants a row of token numbers; put tokenize before it")
    return value
