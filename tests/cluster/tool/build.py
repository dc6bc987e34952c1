"""Building Kubernetes and its companions from Go modules, once for each content of their folder under `go/`."""

import hashlib
import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from tests.cluster.tool import shell, toolchain
from tests.cluster.tool.errors import ToolError
from tests.cluster.tool.paths import REPO, Paths
from tests.cluster.tool.progress import Progress

SOURCES: Final = REPO / "tests" / "cluster" / "go"
KUBERNETES: Final = "v1.37.2"
PROMETHEUS: Final = "v0.316.0"
"""As a Go module; its programs call themselves 3.16.0."""


@dataclass(frozen=True, slots=True)
class Program:
    """One binary: the module folder that pins its sources, its package, and the names it is called by."""

    name: str
    module: str
    package: str
    version: str
    version_variables: tuple[str, ...] = ()
    tags: str = ""
    called: tuple[str, ...] = ()
    hint: str = ""
    kept: tuple[str, str] | None = None
    """A module and a folder of it whose files are kept beside the binary."""


_CONTAINERD: Final = "github.com/containerd/containerd/v2"
_PROMETHEUS: Final = "github.com/prometheus/prometheus"
_PROMETHEUS_OPERATOR: Final = "github.com/prometheus-operator/prometheus-operator"

PROGRAMS: Final = (
    Program(
        name="kube",
        module="kube",
        package=".",
        version=KUBERNETES,
        version_variables=(
            "k8s.io/component-base/version.gitVersion",
            "k8s.io/client-go/pkg/version.gitVersion",
        ),
        called=(
            "kube-apiserver",
            "kube-controller-manager",
            "kube-scheduler",
            "kube-proxy",
            "kubelet",
            "kubectl",
        ),
        hint="six minutes on two cores",
    ),
    Program(name="etcd", module="etcd", package=".", version="v3.6.13", hint="half a minute"),
    *(
        Program(
            name=name,
            module="tools",
            package=f"{_CONTAINERD}/cmd/{name}",
            version="v2.3.7",
            version_variables=(f"{_CONTAINERD}/version.Version",),
            tags="no_btrfs,no_devmapper,no_zfs",
            hint="a minute at most",
        )
        for name in ("containerd", "containerd-shim-runc-v2", "ctr")
    ),
    Program(name="coredns", module="tools", package="./coredns", version="v1.15.0", hint="a minute"),
    Program(
        name="helm",
        module="tools",
        package="helm.sh/helm/v4/cmd/helm",
        version="v4.3.1",
        version_variables=("helm.sh/helm/v4/internal/version.version",),
        hint="a minute",
    ),
    Program(
        name="helm3",
        module="helm3",
        package="helm.sh/helm/v3/cmd/helm",
        version="v3.22.0",
        version_variables=("helm.sh/helm/v3/internal/version.version",),
        hint="a minute",
    ),
    Program(
        name="helm-docs",
        module="helm-docs",
        package="github.com/norwoodj/helm-docs/cmd/helm-docs",
        version="v1.14.2",
        hint="a quarter of a minute",
    ),
    Program(
        name="kwok",
        module="tools",
        package="sigs.k8s.io/kwok/cmd/kwok",
        version="v0.8.0",
        version_variables=("sigs.k8s.io/kwok/pkg/consts.Version",),
        hint="half a minute",
    ),
    *(
        Program(
            name=name,
            module="prometheus",
            package=f"{_PROMETHEUS}/cmd/{name}",
            version=PROMETHEUS,
            # Of twenty-five ways to find targets only the one for Kubernetes: the others drag in every cloud's library.
            tags="remove_all_sd,enable_kubernetes_sd",
            hint=hint,
        )
        for name, hint in (("promtool", "a minute or two"), ("prometheus", "a minute after promtool"))
    ),
    Program(
        name="prometheus-operator",
        module="prometheus-operator",
        package=f"{_PROMETHEUS_OPERATOR}/cmd/operator",
        version="v0.85.0",
        kept=(_PROMETHEUS_OPERATOR, "example/prometheus-operator-crd"),
        hint="two minutes",
    ),
)

CLUSTER: Final = ("kube", "etcd", "containerd", "containerd-shim-runc-v2", "ctr", "coredns")
"""What a cluster of our own is made of; the others are built when somebody asks for them."""


NAMES: Final = tuple(known.name for known in PROGRAMS)


def program(paths: Paths, name: str, *, progress: Progress | None = None) -> Path:
    """Return the program called `name`, built when it is missing."""
    for known in PROGRAMS:
        if name == known.name or name in known.called:
            built = _location(paths, known)
            if not built.exists():
                ensure(paths, (known.name,), progress=progress or Progress())
            return built.with_name(name)
    raise ToolError(f"no program is called {name}")


def ensure(paths: Paths, names: tuple[str, ...], *, progress: Progress) -> None:
    """Build those of the named programs that are missing, telling what is done and what comes next."""
    missing = [known for known in PROGRAMS if known.name in names and not _location(paths, known).exists()]
    if not missing:
        return
    at_least = max(toolchain.required(SOURCES / known.module / "go.mod") for known in missing)
    go = toolchain.go(paths, at_least=at_least, progress=progress)
    progress.plan([_title(known) for known in missing])
    for known in missing:
        with progress.step(_title(known), hint=known.hint):
            _build(paths, known, go=go)


def identity(name: str) -> str:
    """Return a program's version and the key of its sources: changes when it has to be built again."""
    known = next(known for known in PROGRAMS if known.name == name)
    return f"{name}-{known.version}-{_key(known)}"


def forget() -> None:
    """Look at the sources again: they are read once in a run."""
    _key.cache_clear()


def versions() -> dict[str, str]:
    """Return the version of each program by its name."""
    return {known.name: known.version for known in PROGRAMS}


def _title(known: Program) -> str:
    return f"build {known.name} {known.version}"


def _build(paths: Paths, known: Program, *, go: Path) -> None:
    built = _location(paths, known)
    unfinished = built.parent.with_name(f"{built.parent.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    stamps = " ".join(f"-X {variable}={known.version}" for variable in known.version_variables)
    shell.run(
        [
            *(go, "build", "-trimpath", "-mod=readonly"),
            *(["-tags", known.tags] if known.tags else []),
            *("-ldflags", f"-s -w {stamps}".rstrip()),
            *("-o", unfinished / known.name, known.package),
        ],
        env=toolchain.environment(paths),
        cwd=SOURCES / known.module,
        log=paths.bin / f"{known.name}.log",
    )
    if known.kept:
        module, folder = known.kept
        found = shell.run(
            [go, "list", "-mod=readonly", "-m", "-f", "{{.Dir}}", module],
            env=toolchain.environment(paths),
            cwd=SOURCES / known.module,
        )
        shutil.copytree(Path(found.strip()) / folder, unfinished / Path(folder).name)
    for alias in known.called:
        (unfinished / alias).symlink_to(known.name)
    # The folder appears whole or not at all: an interrupted build is begun again.
    unfinished.rename(built.parent)


def _location(paths: Paths, known: Program) -> Path:
    return paths.bin / identity(known.name) / known.name


@cache
def _key(known: Program) -> str:
    decides = (known.package, known.version_variables, known.tags, *((known.kept,) if known.kept else ()))
    digest = hashlib.sha256(repr(decides).encode())
    for path in sorted((SOURCES / known.module).rglob("*")):
        if path.name in {"go.mod", "go.sum"} or path.suffix == ".go":
            digest.update(path.relative_to(SOURCES).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]
