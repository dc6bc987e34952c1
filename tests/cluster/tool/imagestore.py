"""Getting images onto nodes fast: imported once into a store, from where a new node is laid out with hard links.

Importing 1.5 GB means unpacking it, for every node anew. The store is a containerd folder that did it once; its blobs
and unpacked layers never change, so a new node's folder shares them as links and copies only the two databases.
A node that runs already gets an image that changed through `ctr images import`.
"""

import hashlib
import json
import platform
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.cluster.tool import archive, build, shell, state, thin
from tests.cluster.tool.node import PAUSE, ctr
from tests.cluster.tool.paths import Paths
from tests.cluster.tool.processes import Component, Processes
from tests.cluster.tool.progress import Progress

_PAUSE_SOURCE: Final = Path(__file__).with_name("pause.c")


def ensure_pause(paths: Paths, node: str) -> None:
    """Give a node the image that holds pods' namespaces."""
    key = hashlib.sha256(_PAUSE_SOURCE.read_bytes() + PAUSE.encode()).hexdigest()[:12]
    if present(paths, node).get("pause") == key:
        return
    built = paths.images / f"pause-{key}.tar"
    if not built.exists():
        built.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as scratch:
            program = Path(scratch) / "pause"
            shell.run(["gcc", "-static", "-Os", "-s", "-o", program, _PAUSE_SOURCE])
            archive.write(built, reference=PAUSE, program=program, machine=platform.machine())
    load(paths, node, name="pause", key=key, file=built)


def present(paths: Paths, node: str) -> dict[str, str]:
    """Return the images a node has, by name, each with the key of its content."""
    return _read(paths.node(node) / "images.json")


def load(paths: Paths, node: str, *, name: str, key: str, file: Path) -> None:
    """Import one archive into a running node."""
    folder = paths.node(node)
    _import(ctr(paths, node), file, content=folder / "containerd", scratch=folder / f"{name}.import.tar")
    _write(paths.node(node) / "images.json", {**present(paths, node), name: key})


def rename(paths: Paths, registry: str, references: Mapping[str, str]) -> dict[str, str]:
    """Give images on all running nodes a further name, in another registry; return the new ones by image name."""
    renamed = {name: f"{registry}/{each.partition('/')[2]}" for name, each in references.items()}
    for node in state.running_nodes(paths):
        for name, reference in references.items():
            shell.run([*ctr(paths, node), "images", "tag", "--force", reference, renamed[name]])
    return renamed


def seed(paths: Paths, node: str) -> None:
    """Lay out a new node's images from the store; a node that has any keeps them."""
    target = paths.node(node) / "containerd"
    held = _read(_store(paths) / "images.json")
    if not held or target.exists():
        return
    unfinished = target.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.parent.mkdir(parents=True, exist_ok=True)
    shell.run(["cp", "--archive", "--link", _store(paths) / "root", unfinished])
    # The databases are written to: each node needs its own.
    for database in unfinished.rglob("*.db"):
        copy = database.with_suffix(".copy")
        shutil.copy2(database, copy)
        copy.replace(database)
    _write(paths.node(node) / "images.json", held)
    unfinished.rename(target)


def refresh(paths: Paths, files: Mapping[str, tuple[str, Path]], *, progress: Progress) -> None:
    """Import into the store what it lacks of these archives, each given by image name with its key."""
    store = _store(paths)
    held = _read(store / "images.json")
    wanted = {name: file for name, (key, file) in files.items() if held.get(name) != key}
    if not wanted:
        return
    (store / "root").mkdir(parents=True, exist_ok=True)
    runtime = Processes(records=store / "run", logs=store)
    socket = store / "containerd.sock"
    (store / "containerd.toml").write_text(
        f'version = 3\nroot = "{store / "root"}"\nstate = "{store / "state"}"\n'
        'disabled_plugins = ["io.containerd.grpc.v1.cri",'
        ' "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime"]\n'
        f'[grpc]\n  address = "{socket}"\n[ttrpc]\n  address = "{socket}.ttrpc"\n'
    )
    command = [str(build.program(paths, "ctr")), "--address", str(socket), "--namespace", "k8s.io"]
    component = Component(
        name="containerd",
        argv=(str(build.program(paths, "containerd")), "--config", str(store / "containerd.toml")),
        ready=lambda: shell.succeeds([*command, "version"]),
    )
    runtime.start(component)
    try:
        runtime.wait(component)
        for name, file in wanted.items():
            with progress.step(f"unpack the image {name} for new nodes"):
                _import(command, file, content=store / "root", scratch=store / "import.tar")
            held[name] = files[name][0]
        # What the new images replaced goes at once: the runtime ends before it would get round to it.
        shell.run([*command, "content", "prune", "references"])
    finally:
        runtime.stop(["containerd"])
    _write(store / "images.json", held)


def _import(ctr: list[str], file: Path, *, content: Path, scratch: Path) -> None:
    try:
        shell.run([*ctr, "images", "import", thin.cut(file, content=content, target=scratch)])
    finally:
        scratch.unlink(missing_ok=True)


def _store(paths: Paths) -> Path:
    return paths.images / "store"


def _read(path: Path) -> dict[str, str]:
    try:
        found: dict[str, str] = json.loads(path.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
    return found


def _write(path: Path, content: dict[str, str]) -> None:
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(content, indent=1) + "\n")
    unfinished.replace(path)
