"""Output passes through whole: each line with its process's prefix, none lost, none mixed, none held back for ever."""

from __future__ import annotations

import itertools
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regatta_runtime.output import LINE_LIMIT, PARTIAL_SECONDS, Sink, Stream, last_words
from tests.unit.runtime.crew import Crew


class Paper(Sink):
    """A sink that keeps what is written."""

    def __init__(self) -> None:
        super().__init__(-1)
        self.text = b""

    def write(self, data: bytes) -> None:
        self.text += data


def lines_of(text: bytes, prefix: bytes) -> bytes:
    return b"".join(prefix + line + b"\n" for line in text.split(b"\n"))


TEXT = st.lists(st.text("ab \r\x00é", max_size=8).map(str.encode), min_size=1, max_size=6).map(b"\n".join)


@given(text=TEXT, cuts=st.lists(st.integers(0, 60), max_size=6), pauses=st.booleans())
def test_one_process_is_shown_exactly_however_its_output_arrives(text: bytes, cuts: list[int], pauses: bool) -> None:
    paper, now = Paper(), 0.0
    stream = Stream(-1, paper, b"[3] ")
    edges = sorted({0, len(text), *(min(cut, len(text)) for cut in cuts)})
    for start, end in itertools.pairwise(edges):
        stream.feed(text[start:end], now)
        now += PARTIAL_SECONDS if pauses else 0.0
        stream.show_partial(now)
    stream.finish()
    whole = text.removesuffix(b"\n")
    assert paper.text == (lines_of(whole, b"[3] ") if text else b"")


PIECES = st.tuples(st.integers(0, 2), st.sampled_from([b"x\n", b"yy", b"z\nw", b"\n"]), st.booleans())


@given(st.lists(PIECES, max_size=40))
def test_several_processes_are_never_mixed_within_a_line(pieces: list[tuple[int, bytes, bool]]) -> None:
    paper, now = Paper(), 0.0
    streams = [Stream(-1, paper, b"[%d] " % n) for n in range(3)]
    sent = [b"", b"", b""]
    for which, data, pause in pieces:
        sent[which] += data
        streams[which].feed(data, now)
        now += PARTIAL_SECONDS if pause else 0.0
        for stream in streams:
            stream.show_partial(now)
    for stream in streams:
        stream.finish()
    for which, text in enumerate(sent):
        prefix = b"[%d] " % which
        shown = [line for line in paper.text.split(b"\n") if line.startswith(prefix)]
        assert b"".join(line.removeprefix(prefix) for line in shown) == text.replace(b"\n", b"")
    assert all(line[:1] == b"[" for line in paper.text.split(b"\n")[:-1])
    assert paper.text[-1:] in (b"", b"\n")


def test_a_line_without_end_is_passed_on_in_pieces_and_never_held_whole() -> None:
    paper = Paper()
    stream = Stream(-1, paper, b"[0] ")
    for _ in range(40):
        stream.feed(b"x" * 65536, 0.0)
        assert len(stream.buffer) < LINE_LIMIT
    stream.finish()
    assert paper.text.replace(b"[0] ", b"").replace(b"\n", b"") == b"x" * 65536 * 40


def test_all_output_of_all_processes_arrives(crew: Crew) -> None:
    crew.of(2, 2).script("""
        for n in range(2000): sys.stdout.write(f"out {rank} {n}\\n")
        for n in range(2000): sys.stderr.write(f"err {rank} {n}\\n")
        sys.stdout.write("unfinished")
        sys.stdout.flush()
    """).start()
    assert crew.wait() == [0, 0]
    for rank in range(4):
        mine = [line for line in crew.output.splitlines() if line.startswith(f"[{rank}] ")]
        assert [line for line in mine if "out" in line] == [f"[{rank}] out {rank} {n}" for n in range(2000)]
        assert [line for line in mine if "err" in line] == [f"[{rank}] err {rank} {n}" for n in range(2000)]
        assert [line for line in mine if "fin" in line] == [f"[{rank}] unfinished"]


def test_a_line_of_a_megabyte_arrives_and_the_next_is_whole(crew: Crew) -> None:
    crew.of(1).script("""
        sys.stdout.write("x" * 1_000_000 + "\\n")
        say("after")
    """).start()
    assert crew.wait() == [0]
    lines = [line for line in crew.output.splitlines() if line.startswith("[0] ")]
    assert "".join(line.removeprefix("[0] ") for line in lines[:-1]) == "x" * 1_000_000
    assert lines[-1] == "[0] after"


def test_an_unfinished_line_is_shown_though_its_process_goes_on(crew: Crew) -> None:
    # Rank 1 speaks only after rank 0's unfinished line has been passed on, which its own line then ends.
    crew.of(1, 2).script("""
        if rank == 0:
            sys.stdout.write("50 %")
            sys.stdout.flush()
            signal.pause()
        while "go" not in open(os.environ["GO"]).read(): pass
        say("next")
    """)
    os.mkfifo(crew.folder / "go")
    crew.env(GO=str(crew.folder / "go")).start()
    crew.until_raw(b"[0] 50 %")
    (crew.folder / "go").write_text("go")
    crew.until("[1] next")
    assert "[0] 50 %" in crew.output.splitlines()


def test_a_grandchild_that_keeps_the_pipe_open_holds_nothing_up(crew: Crew) -> None:
    crew.of(1).script("""
        if os.fork() == 0: wait()
        say("parent")
    """).start()
    assert crew.wait() == [0]
    assert "[0] parent" in crew.output


def test_lines_appear_at_once_without_the_script_flushing(crew: Crew) -> None:
    crew.of(1).script("print('hello'); signal.pause()").start()
    crew.until("[0] hello")


def test_without_prefix_the_processes_write_to_the_launchers_own_output(crew: Crew) -> None:
    crew.of(2).script("say('pipe is', os.readlink('/proc/self/fd/1') == os.readlink(f'/proc/{os.getppid()}/fd/1'))")
    crew.env(REGATTA_LOG_PREFIX="0").start()
    assert crew.wait() == [0, 0]
    assert crew.output.splitlines().count("pipe is True") == 2


def test_a_reader_that_has_gone_does_not_stop_training(crew: Crew) -> None:
    crew.of(1).script("""
        open(os.environ["GO"]).read()
        for _ in range(2000): say("x" * 100)
        open(os.environ["DONE"], "w").close()
    """)
    os.mkfifo(crew.folder / "go")
    crew.env(GO=str(crew.folder / "go"), DONE=str(crew.folder / "done"))
    launcher = crew.launch(0)
    crew.until("generation 1 starts")
    launcher.stop_reading()
    (crew.folder / "go").write_text("go")
    assert launcher.wait() == 0
    assert (crew.folder / "done").exists()


@pytest.mark.parametrize(
    ("tail", "words"),
    [
        (b"", ""),
        (b"one\ntwo\nthree\nfour\n", "two\nthree\nfour"),
        (b"Segmentation fault\n\n", "Segmentation fault"),
        (
            b"Traceback (most recent call last):\n  File 't.py', line 1\n    f()\nValueError: bad batch\n",
            "ValueError: bad batch",
        ),
        (
            (
                b"Traceback (most recent call last):\n  File 't.py'\nKeyError: 'a'\n\nDuring handling, another:\n\n"
                b"Traceback (most recent call last):\n  File 't.py'\nRuntimeError: CUDA out of memory.\n"
                b"[W] process group has NOT been destroyed\n"
            ),
            "RuntimeError: CUDA out of memory.\n[W] process group has NOT been destroyed",
        ),
        (b"10%\r20%\r30% \x1b[31mred\n", "10%\n20%\n30%  [31mred"),
        (b"\xff\xfe broken", "\ufffd\ufffd broken"),
    ],
    ids=["nothing", "last lines", "one line", "exception", "last exception", "control", "not UTF-8"],
)
def test_last_words_are_what_explains_the_end(tail: bytes, words: str) -> None:
    assert last_words(tail) == words


@given(st.binary(max_size=5000))
def test_last_words_of_anything_are_short_and_printable(tail: bytes) -> None:
    words = last_words(tail)
    assert len(words) <= 500
    assert all(c.isprintable() or c == "\n" for c in words)
