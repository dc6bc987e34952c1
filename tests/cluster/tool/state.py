"""What is known of the cluster between two calls of the tool: how many nodes, made of what, and who may change it."""

import ast
import fcntl
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.cluster.tool import addresses, build, controlplane, network, node
from tests.cluster.tool.paths import Paths
from tests.cluster.tool.processes import Processes
from tests.cluster.tool.progress import Progress


@dataclass(frozen=True, slots=True)
class Known:
    """What was started last."""

    nodes: int
    gpus: int
    made: str

    @property
    def names(self) -> tuple[str, ...]:
        """The nodes' names."""
        return tuple(node.name(index) for index in range(1, self.nodes + 1))


def read(paths: Paths) -> Known | None:
    """Return what was started last; None when that was before a reboot, or made of other programs or settings."""
    try:
        known = Known(**json.loads(_file(paths).read_text()))
    except (FileNotFoundError, json.JSONDecodeError, TypeError):
        return None
    return known if known.made == _made() else None


def write(paths: Paths, *, nodes: int, gpus: int) -> Known:
    """Remember what is about to be started."""
    known = Known(nodes=nodes, gpus=gpus, made=_made())
    paths.cluster.mkdir(parents=True, exist_ok=True)
    _file(paths).write_text(json.dumps(asdict(known)) + "\n")
    return known


def processes(paths: Paths) -> Processes:
    """Return the cluster's processes."""
    return Processes(records=paths.cluster / "run", logs=paths.logs)


def running_nodes(paths: Paths) -> tuple[str, ...]:
    """Return the names of the nodes whose container runtime runs."""
    known, running = read(paths), processes(paths)
    return tuple(name for name in known.names if running.alive(f"containerd-{name}")) if known else ()


@contextmanager
def lock(file: Path) -> Iterator[None]:
    """Keep everybody else from changing what this file stands for meanwhile."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            Progress().say(f"waiting for another run of this tool ({file.name})")
            fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _file(paths: Paths) -> Path:
    return paths.cluster / "cluster.json"


def _made() -> str:
    """Return what a running cluster is made of: this boot, these programs, this tool's settings."""
    digest = hashlib.sha256(Path("/proc/sys/kernel/random/boot_id").read_bytes())
    for name in build.CLUSTER:
        digest.update(build.identity(name).encode())
    for module in (addresses, controlplane, network, node):
        # Comments and layout don't make another cluster.
        digest.update(ast.dump(ast.parse(Path(module.__file__ or "").read_text())).encode())
    return digest.hexdigest()[:16]
