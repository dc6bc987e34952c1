"""Caffe's two files are read without torch, and what is wrong with one is said with its place.

What a network computes is tested where torch is: tests/cluster/test_caffe.py.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from regatta_runtime.caffe import CaffeError, DamagedFileError, DefinitionError
from regatta_runtime.caffe.definition import Definition, define
from regatta_runtime.caffe.prototxt import MAX_BYTES, parse, read
from regatta_runtime.caffe.wire import parse as weights
from regatta_runtime.caffe.wire import read_weights
from tests.caffe.writer import Encoding, NetWriter, blob, string, varint

VALUES = np.arange(12, dtype=np.float32).reshape(3, 2, 2) / 7


def written(encoding: Encoding = "packed", *, old: bool = False) -> bytes:
    net = NetWriter({}, encoding=encoding, old=old)
    return net.add("ReLU", "empty", "x").add("InnerProduct", "fc", "x", blobs=[VALUES, VALUES[0, 0]]).caffemodel


def defined(text: str, phase: str = "TEST") -> Definition:
    return define(parse(text), phase)


def layer(kind: str, bottoms: str, top: str, more: str = "") -> str:
    ends = " ".join(f'bottom: "{each}"' for each in bottoms.split())
    return f'layer {{ name: "{top}" type: "{kind}" {ends} top: "{top}" {more} }}\n'


def test_importing_it_loads_no_torch() -> None:
    code = "import sys, regatta_runtime.caffe; assert 'torch' not in sys.modules"
    folder = Path(__file__).parents[3] / "runtime_images"
    subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": str(folder)}, check=True)


@pytest.mark.parametrize("old", [False, True], ids=["layer", "layers"])
@pytest.mark.parametrize("encoding", ["packed", "single", "legacy", "double"])
def test_weights_are_read_however_they_are_written(encoding: Encoding, old: bool) -> None:
    found = weights(memoryview(written(encoding, old=old)))

    assert found.keys() == {"fc"}
    kinds = {4: np.dtype("<f4"), 8: np.dtype("<f8")}
    read_back = [np.frombuffer(each.data, kinds[each.width]).reshape(each.shape) for each in found["fc"]]
    assert found["fc"][0].shape == ((1, 3, 2, 2) if encoding == "legacy" else (3, 2, 2))
    assert np.array_equal(read_back[0].reshape(VALUES.shape), VALUES)
    assert np.array_equal(read_back[1].ravel(), VALUES[0, 0])


FLOATS = string(5, b"\0" * 8)
BROKEN = {
    "empty": b"",
    "text": b"<html><body>Not found</body></html>",
    "HDF5": b"\x89HDF\r\n\x1a\n" + b"\0" * 100,
    "a pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
    "a length beyond the end": varint(100 << 3 | 2) + varint(1 << 40) + b"abc",
    "a negative length": varint(100 << 3 | 2) + varint(-5),
    "a number without end": b"\xff" * 30,
    "groups": b"\x0b" * 1000,
    "a shape that multiplies to more than there is": string(
        100, string(7, string(7, string(1, varint(1 << 40) * 3)) + FLOATS)
    ),
    "a shape of 0 and of much": string(100, string(7, string(7, string(1, varint(0) + varint(1 << 60))) + FLOATS)),
    "a negative shape": string(100, string(7, string(7, string(1, varint(-2) + varint(-1))) + FLOATS)),
    "more dimensions than Caffe has": string(100, string(7, string(7, string(1, b"\1" * 1000)) + FLOATS)),
    "numbers that end in between": string(100, string(7, string(7, string(1, b"\2")) + string(5, b"\0" * 7))),
    "a number where a layer belongs": varint(100 << 3) + b"\1",
    "a name that is no text": string(100, string(1, b"\xff\xfe")),
    "thousands of blobs": string(100, string(7, b"") * 100_000),
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN.keys())
def test_what_is_no_caffemodel_is_refused_with_its_path_and_without_much_memory(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "weights.caffemodel"
    file.write_bytes(content)

    tracemalloc.start()
    with pytest.raises(DamagedFileError, match=r"weights\.caffemodel: \S"):
        read_weights(str(file))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 5 * len(content) + 1_000_000


@given(st.binary(max_size=300))
def test_bytes_of_any_kind_are_read_or_refused(content: bytes) -> None:
    with contextlib.suppress(DamagedFileError):
        weights(memoryview(content))


@given(st.data())
def test_a_file_that_was_cut_or_changed_is_read_or_refused(data: st.DataObject) -> None:
    content = bytearray(written(data.draw(st.sampled_from(["packed", "single", "legacy", "double"]))))
    del content[data.draw(st.integers(1, len(content))) :]
    content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(DamagedFileError):
        weights(memoryview(content))


def test_messages_in_messages_do_not_recurse() -> None:
    content = b""
    for _ in range(5000):
        content = string(100, content)
    assert weights(memoryview(content)) == {}


def test_half_of_a_blob_is_told_as_such() -> None:
    content = written()
    with pytest.raises(DamagedFileError, match="bytes too early; was it copied to its end"):
        weights(memoryview(content[: len(content) // 2]))


def test_weights_of_half_precision_are_told_as_such() -> None:
    half = string(7, string(1, b"\4")) + string(12, b"\0" * 8)
    with pytest.raises(DamagedFileError, match="half precision"):
        weights(memoryview(string(100, string(1, b"fc") + string(7, half))))


def test_both_blobs_of_one_name_are_one_layers() -> None:
    one = string(100, string(1, b"fc") + string(7, blob(VALUES)))
    assert [each.shape for each in weights(memoryview(one))["fc"]] == [(3, 2, 2)]


def test_the_text_format_is_read_as_protobuf_writes_it() -> None:
    found = parse(
        """
        # a comment
        name: "a" 'b\\x21\\n'  # strings that stand together are one
        number: -0x10, number: 3f; numbers: [1, 2.5e1, -inf]
        inner { flag: true word: AVE }
        inner: < flag: false list: [] >
        """
    )
    assert found.text("name") == "ab!\n"
    assert found.numbers("numbers") == [1.0, 25.0, float("-inf")]
    assert [each.flag("flag", True) for each in found.messages("inner")] == [True, False]
    assert found.message("inner").flag("flag", True) is False
    assert found.message("inner").word("word", "MAX") == "AVE"
    assert found.message("other").word("word", "MAX") == "MAX"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\nb {", "line 2 is never closed"),
        ("a: 1 }", "line 1: a field's name was expected"),
        ("a 1", "line 1: ':' or '{' must follow 'a'"),
        ("a:\n\n}", "line 3: a value was expected"),
        ("a:", "a value was expected, not 'the end of the file'"),
        ("a: [1 2]", "',' or ']' was expected"),
        ("a: [1,", "a value was expected"),
        ('\n a: "x', "line 2: "),
        ("a: 1 $", "is no part of a .prototxt"),
        ("a {" * 100_000, "nested more than 50 times"),
    ],
)
def test_a_text_that_is_wrong_is_refused_with_its_line(text: str, words: str) -> None:
    with pytest.raises(DamagedFileError) as refused:
        parse(text)
    assert words in str(refused.value)


@given(st.text(alphabet='ab:{}<>[]"\\-1.,\n #', max_size=60))
def test_text_of_any_kind_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(DamagedFileError):
        parse(text)


@pytest.mark.parametrize(
    "content", [b"a: 1 " * (MAX_BYTES // 4), b"\x0a\x80\xff\x00"], ids=["too large", "the weights instead"]
)
def test_a_file_that_is_no_definition_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(DamagedFileError, match=r"is it a \.prototxt|comes first"):
        read(str(tmp_path / "x"))


@pytest.mark.parametrize("text", ["size: 1.5", "size: -1", "size: 99999999999", "size { }", 'size: "3"', "size: many"])
def test_a_number_that_is_none_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(DefinitionError, match=r"line 2: size is .* and must be"):
        parse("\n" + text).whole("size", 1)


def test_layers_that_feed_and_judge_are_left_out_and_their_blobs_become_inputs() -> None:
    text = (
        'layer { name: "train" type: "Data" top: "data" top: "label" include { phase: TRAIN } }\n'
        'layer { name: "test" type: "Data" top: "data" top: "label" include { phase: TEST } }\n'
        + layer("ReLU", "data", "relu")
        + layer("Dropout", "relu", "relu", "exclude { phase: TEST }").replace('name: "relu"', 'name: "drop"')
        + layer("SoftmaxWithLoss", "relu label", "loss")
        + layer("Accuracy", "relu label", "accuracy", "include { phase: TEST }")
    )
    test, train = defined(text), defined(text, "TRAIN")
    assert [each.name for each in test.layers] == ["relu"]
    assert [each.name for each in train.layers] == ["relu", "drop"]
    assert (test.inputs, test.outputs) == ({"data": ()}, ("relu",))


@pytest.mark.parametrize(
    "inputs",
    [
        'input: "x" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 9',
        'input: "x" input_shape { dim: 1 dim: 3 dim: 8 dim: 9 }',
        'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: [1, 3, 8, 9] } } }',
    ],
)
def test_shapes_of_inputs_are_found_wherever_they_stand(inputs: str) -> None:
    assert defined(inputs + "\n" + layer("ReLU", "x", "y")).inputs == {"x": (1, 3, 8, 9)}


def test_both_spellings_mean_the_same() -> None:
    old = 'input: "x" layers { name: "a" type: RELU bottom: "x" top: "x" }'
    old += 'layers { type: INNER_PRODUCT bottom: "x" top: "y" }'
    assert [each.kind for each in defined(old).layers] == ["ReLU", "InnerProduct"]


def test_an_output_is_what_nobody_takes_also_after_layers_in_place() -> None:
    text = layer("Input", "", "x") + layer("ReLU", "x", "a") + layer("ReLU", "a", "b") + layer("ReLU", "a", "c")
    text += 'layer { name: "in-place" type: "ReLU" bottom: "b" top: "b" }'
    assert defined(text).outputs == ("c", "b")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no layer computes anything"),
        ("net: 'a.prototxt' base_lr: 0.1", "is it the definition of a solver"),
        (layer("ReLU", "x", "y"), "'y' takes the blob 'x', which nothing before it makes"),
        ('layer { name: "a" bottom: "x" }', "layer 'a' has no type"),
        ('layer { type: "ReLU" } layers { type: RELU }', "of both spellings"),
        ('layers { layer { name: "a" type: "relu" } }', "upgrade_net_proto_text"),
        (layer("ReLU", "", "y", "include { phase: TEST } exclude { phase: TRAIN }"), "both include and exclude"),
        ("layer: 3", "layer is '3' and must be a message"),
    ],
)
def test_a_definition_that_cannot_be_is_refused(text: str, words: str) -> None:
    with pytest.raises(CaffeError) as refused:
        defined(text)
    assert words in str(refused.value)


def test_an_unknown_phase_is_refused() -> None:
    with pytest.raises(DefinitionError, match="TEST, TRAIN"):
        defined(layer("ReLU", "x", "y"), "test")
