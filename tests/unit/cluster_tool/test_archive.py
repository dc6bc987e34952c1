"""An archive written by hand is an image, and cutting it down leaves out exactly what a node has."""

import hashlib
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.tool import archive, thin

BLOBS = "io.containerd.content.v1.content/blobs/sha256"


@pytest.fixture
def image(tmp_path: Path) -> Path:
    program = tmp_path / "pause"
    program.write_bytes(b"\x7fELF and so on")
    file = tmp_path / "pause.tar"
    archive.write(file, reference="localhost/pause:1", program=program, machine="x86_64")
    return file


def contents(file: Path) -> dict[str, bytes]:
    with tarfile.open(file) as tar:
        return {name: tar.extractfile(name).read() for name in tar.getnames()}  # type: ignore[union-attr]


def manifest(cut: dict[str, bytes]) -> dict[str, Any]:
    (described,) = json.loads(cut["index.json"])["manifests"]
    found: dict[str, Any] = json.loads(cut["blobs/" + described["digest"].replace(":", "/")])
    return found


def test_the_layer_is_what_the_configuration_says(image: Path) -> None:
    files = contents(image)
    (entry,) = json.loads(files["manifest.json"])
    config = json.loads(files[entry["Config"]])

    assert entry["RepoTags"] == ["localhost/pause:1"]
    assert config["architecture"] == "amd64"
    layers = [f"sha256:{hashlib.sha256(files[name]).hexdigest()}" for name in entry["Layers"]]
    assert config["rootfs"]["diff_ids"] == layers


def test_a_node_without_anything_gets_everything(image: Path, tmp_path: Path) -> None:
    cut = contents(thin.cut(image, content=tmp_path / "empty", target=tmp_path / "cut.tar"))

    assert all(f"blobs/sha256/{layer['digest'][7:]}" in cut for layer in manifest(cut)["layers"])
    assert all(
        hashlib.sha256(blob).hexdigest() == Path(name).name for name, blob in cut.items() if name.startswith("blobs/")
    )


def test_a_layer_the_node_has_is_named_and_left_out(image: Path, tmp_path: Path) -> None:
    whole = contents(thin.cut(image, content=tmp_path / "empty", target=tmp_path / "whole.tar"))
    (layer,) = manifest(whole)["layers"]
    held = tmp_path / "node" / BLOBS
    held.mkdir(parents=True)
    (held / layer["digest"][7:]).touch()

    cut = contents(thin.cut(image, content=tmp_path / "node", target=tmp_path / "cut.tar"))

    assert manifest(cut) == manifest(whole)
    assert whole.keys() - cut.keys() == {f"blobs/sha256/{layer['digest'][7:]}"}


def test_the_image_keeps_its_name(image: Path, tmp_path: Path) -> None:
    cut = contents(thin.cut(image, content=tmp_path, target=tmp_path / "cut.tar"))

    (described,) = json.loads(cut["index.json"])["manifests"]
    assert described["annotations"]["io.containerd.image.name"] == "localhost/pause:1"
