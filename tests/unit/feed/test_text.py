"""Text: tokens, padded or packed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from regatta_feed.draws import Draws
from regatta_feed.errors import DamagedError, StepError
from regatta_feed.packing import packed
from regatta_feed.params import Params
from regatta_feed.sources import open_source
from regatta_feed.spec import SourceSpec
from regatta_feed.steps import STEPS, Item
from tests.unit.feed.feeds import Feed

WORDS = ["[UNK]", "[CLS]", "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    made = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, "[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(single="[CLS] $A", special_tokens=[("[CLS]", 1)])
    made.enable_padding(length=100)  # of a file that was saved so: the pipeline alone decides
    made.enable_truncation(2)
    made.save(str(tmp_path / "tokenizer.json"))
    return tmp_path / "tokenizer.json"


def lines(folder: Path, count: int = 200) -> Path:
    folder.mkdir(exist_ok=True)
    text = [" ".join(WORDS[2 + (n * k) % 10] for k in range(1, 2 + n % 7)) for n in range(count)]
    (folder / "a.txt").write_text("\n".join(text[: count // 2]))
    (folder / "b.txt").write_text("\n".join(text[count // 2 :]))
    return folder


def through(value: Any, *steps: tuple[str, dict[str, Any]]) -> Item:
    item = Item(value, None, "a line")
    for number, (name, params) in enumerate(steps):
        STEPS[name].read(Params(params, name)).apply(item, Draws(0).of(number))
    return item


def test_a_text_becomes_the_numbers_of_its_tokens(tokenizer: Path) -> None:
    file = {"file": str(tokenizer)}
    assert through(b"two one what", ("tokenize", file)).value.tolist() == [1, 4, 3, 0]
    assert through(b"two", ("tokenize", {**file, "specialTokens": False})).value.tolist() == [4]
    with pytest.raises(DamagedError, match="not UTF-8: invalid start byte at 4"):
        through(b"two \xff", ("tokenize", file))
    with pytest.raises(StepError, match=r"nothing\.json cannot be used"):
        through(b"two", ("tokenize", {"file": "nothing.json"}))


def test_pad_fills_up_or_cuts_and_its_mask_tells(tokenizer: Path) -> None:
    for text, wanted, mask in (
        (b"two", [1, 4, 9, 9], [True, True, False, False]),
        (b"two one two one", [1, 4, 3, 4], [True] * 4),
        (b"", [1, 9, 9, 9], [True, False, False, False]),
    ):
        item = through(text, ("tokenize", {"file": str(tokenizer)}), ("pad", {"length": 4, "value": 9}))
        assert (item.value.tolist(), item.mask.tolist()) == (wanted, mask)


@pytest.mark.parametrize("separator", [None, 11])
@pytest.mark.parametrize("processes", [1, 3])
def test_packed_samples_are_stretches_of_all_texts_together(
    tmp_path: Path, tokenizer: Path, processes: int, separator: int | None
) -> None:
    source = open_source(SourceSpec(uri=str(lines(tmp_path / "text")), format="Text"))
    step = STEPS["tokenize"].read(Params({"file": str(tokenizer)}, ""))
    whole: list[int] = []
    for number in range(len(source)):
        item = Item(source.read(number).data, None)
        step.apply(item, Draws(0))
        whole += [*item.value.tolist(), *([] if separator is None else [separator])]
    pack = STEPS["pack"].read(Params({"length": 7, "separator": separator}, ""))
    made = packed(source, [step], pack, processes=processes, folder=tmp_path, limit=1 << 20)  # type: ignore[arg-type]
    assert len(made) == len(whole) // 7
    assert [made.read(n).data.tolist() for n in range(len(made))] == [
        whole[n * 7 : n * 7 + 7] for n in range(len(made))
    ]


def fields(tmp_path: Path, tokenizer: Path, *steps: Any) -> dict[str, Any]:
    source = {"uri": str(lines(tmp_path / "text")), "format": "Text"}
    return {"source": source, "pipeline": [{"tokenize": {"file": str(tokenizer)}}, *steps]}


def test_batches_of_padded_text_have_a_mask(tmp_path: Path, tokenizer: Path) -> None:
    with Feed(tmp_path, **fields(tmp_path, tokenizer, {"pad": {"length": 6}})) as feed:
        batches = feed.batches()
        assert len(batches) == 50
        for tokens, mask in batches:
            assert (tokens.shape, tokens.dtype, mask.dtype) == ((4, 6), np.int64, np.bool_)
            assert np.array_equal(mask, tokens != 0)
    with Feed(
        tmp_path, arguments=("--preview", "none.png"), **fields(tmp_path, tokenizer, {"pad": {"length": 6}})
    ) as feed:
        assert feed.wait() == 0
        assert "[CLS] six two eight four zero" in feed.words()


def test_batches_of_packed_text_are_exact_and_resumed(tmp_path: Path, tokenizer: Path) -> None:
    taken = fields(tmp_path, tokenizer, {"pack": {"length": 8}})
    with Feed(tmp_path, **taken) as feed:
        epochs = [[tokens.copy() for (tokens,) in batches] for batches in [feed.batches()] * 2]
    rows = [sorted(map(tuple, np.concatenate(epoch).tolist())) for epoch in epochs]
    assert len(rows[0]) == len(epochs[0]) * 4
    assert not np.array_equal(epochs[0][0], epochs[1][0])
    with Feed(tmp_path, arguments=("--processes", "3"), **taken) as feed:
        again = [tokens.copy() for (tokens,) in feed.batches(epoch=1, step=5)]
    assert all(np.array_equal(one, other) for one, other in zip(again, epochs[1][5:], strict=True))


def test_too_many_tokens_and_too_few_are_told(tmp_path: Path, tokenizer: Path) -> None:
    taken = fields(tmp_path, tokenizer, {"pack": {"length": 100_000}})
    with Feed(tmp_path, **taken) as feed:
        assert feed.wait() == 2
        assert "fewer than 100000 tokens" in feed.words()
    (tmp_path / "text" / "c.txt").write_text("one two three four five\n" * 120_000)
    taken = fields(tmp_path, tokenizer, {"pack": {"length": 8}})
    with Feed(tmp_path, arguments=("--cache-mib", "1"), **taken) as feed:
        assert feed.wait() == 2
        assert "more than --cache-mib" in feed.words()


def test_lines_that_are_no_text_are_left_out_up_to_one_in_a_hundred(tmp_path: Path, tokenizer: Path) -> None:
    taken = fields(tmp_path, tokenizer, {"pack": {"length": 8}})
    bad = tmp_path / "text" / "c.txt"
    bad.write_bytes(b"two \xff\nthree \xff three\n")
    with Feed(tmp_path, **taken) as feed:
        next(iter(feed.batches()))
        assert feed.words().count("not UTF-8") == 2
    bad.write_bytes(b"two \xff\n" * 4)
    with Feed(tmp_path, **taken) as feed:
        assert feed.wait() == 1
        assert "more than one in a hundred" in feed.words()
    bad.write_bytes(b"two \xff\n")
    with Feed(tmp_path, **taken, onError="Fail") as feed:
        assert feed.wait() == 1
        assert "onError is Fail" in feed.words()
