"""The images of this repository: what each is built from, when it has to be built again, and getting it onto nodes."""

import contextlib
import hashlib
import platform
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from tests.cluster.tool import debian, imagestore, shell, state
from tests.cluster.tool.buildah import Buildah
from tests.cluster.tool.errors import ToolError
from tests.cluster.tool.paths import REPO, Paths
from tests.cluster.tool.progress import Progress

TAG: Final = "dev"

_DEBIAN: Final = "bookworm"
_PACKAGES: Final = ("ca-certificates", "python3", "python3-venv", "python-is-python3")
_COMPILER: Final = (*_PACKAGES, "g++", "make", "python3-dev")
_UNWANTED: Final = ("doc", "info", "locale", "man")


@dataclass(frozen=True, slots=True)
class Image:
    """One image: what pods call it, a key that changes with its content, and its archive (nowhere if it is pulled)."""

    name: str
    reference: str
    key: str
    archive: Path


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one image comes about: the files that decide it, the images it stands on, and the steps."""

    inputs: tuple[str, ...]
    make: Callable[[Paths, Path], None]
    on: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    hint: str = ""


def ensure(
    paths: Paths, names: Sequence[str], *, progress: Progress | None = None, load: bool = True
) -> Mapping[str, Image]:
    """Build those of the named images that changed, and import them into every node that lacks them."""
    progress = progress or Progress()
    unknown = sorted(set(names) - set(RECIPES))
    if unknown:
        raise ToolError(f"no image is called {', '.join(unknown)}; there are {', '.join(RECIPES)}")
    found = {name: describe(paths, name) for name in names}
    missing = [image for image in found.values() if not image.archive.exists()]
    if missing:
        debian.ensure(debian.IMAGES, progress=progress)
        with state.lock(paths.cache / "images.lock"):
            _build(paths, [image for image in missing if not image.archive.exists()], progress=progress)
    if load:
        with state.lock(paths.lock):
            _load(paths, found.values(), progress=progress)
    return found


def built(paths: Paths) -> Mapping[str, tuple[str, Path]]:
    """Return key and archive of each image that is built and up to date."""
    current = {name: describe(paths, name) for name in RECIPES}
    return {name: (image.key, image.archive) for name, image in current.items() if image.archive.exists()}


def dockerfile(name: str) -> Path:
    """Return an image's Dockerfile, as it is called from the repository's root."""
    folder = {"runtime": "regatta_runtime", "horovod-tensorflow": "horovod"}.get(name, name)
    return Path("runtime_images") / folder / "Dockerfile"


def _build(paths: Paths, missing: Sequence[Image], *, progress: Progress) -> None:
    progress.plan([f"build the image {image.name}" for image in missing])
    Buildah.of(paths).tidy()
    for image in missing:
        with progress.step(f"build the image {image.name}", hint=RECIPES[image.name].hint):
            RECIPES[image.name].make(paths, image.archive)
        for old in paths.images.glob(f"{image.name}-*.tar"):
            if old != image.archive:
                old.unlink()


def _load(paths: Paths, images: Iterable[Image], *, progress: Progress) -> None:
    wanted = [
        (node, image)
        for node in state.running_nodes(paths)
        for image in images
        if imagestore.present(paths, node).get(image.name) != image.key
    ]
    if not wanted:
        return
    names = sorted({image.name for _, image in wanted})
    with progress.step(f"import into the nodes: {', '.join(names)}"), ThreadPoolExecutor() as pool:
        by_node: dict[str, list[Image]] = {}
        for node, image in wanted:
            by_node.setdefault(node, []).append(image)
        list(pool.map(partial(_load_one, paths), by_node.items()))


def _load_one(paths: Paths, wanted: tuple[str, list[Image]]) -> None:
    node, images = wanted
    for image in images:
        imagestore.load(paths, node, name=image.name, key=image.key, file=image.archive)


def describe(paths: Paths, name: str) -> Image:
    """Return an image as it would be built from what lies here now."""
    key = _key(name)
    return Image(name=name, reference=reference(name), key=key, archive=paths.images / f"{name}-{key}.tar")


def reference(name: str, tag: str = TAG) -> str:
    """Return what an image is called: by a fixed tag for pods, by others between the steps of a build."""
    return f"localhost/regatta/{name}:{tag}"


def _key(name: str) -> str:
    """Return a hash of everything that decides an image's content."""
    recipe = RECIPES[name]
    digest = hashlib.sha256(
        "\n".join((*recipe.inputs, *recipe.settings, *map(_key, recipe.on), platform.machine())).encode()
    )
    for path in sorted(_files(recipe.inputs)):
        digest.update(path.relative_to(REPO).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def _files(inputs: Iterable[str]) -> Iterable[Path]:
    for name in inputs:
        path = REPO / name
        found = path.rglob("*") if path.is_dir() else [path]
        yield from (file for file in found if file.is_file() and "__pycache__" not in file.parts)


def _base() -> str:
    return reference("base", _key("base"))


def _make_base(paths: Paths, archive: Path) -> None:
    """Debian with Python and nothing else, made from its packages: the public images can't be pulled everywhere."""
    buildah = Buildah.of(paths)
    with _debian(paths, "base", _PACKAGES) as container:
        buildah.run("commit", "--quiet", container, _base())
        # As a job's image it is nobody's root.
        buildah.run("config", "--user", "1000:1000", container)
        buildah.run("commit", "--quiet", container, reference("base"))
    buildah.push(reference("base"), archive)


@contextlib.contextmanager
def _debian(paths: Paths, name: str, packages: Sequence[str]) -> Iterator[str]:
    """Lend a working container of nothing but these packages and what they need."""
    buildah = Buildah.of(paths)
    root = paths.images / f"{name}.rootfs.tar"
    excludes = [f"--dpkgopt=path-exclude=/usr/share/{folder}/*" for folder in _UNWANTED]
    shell.run(
        [
            "mmdebstrap",
            "--variant=minbase",
            f"--include={','.join(packages)}",
            *excludes,
            _DEBIAN,
            root,
            *debian.mirrors(_DEBIAN),
        ],
        log=paths.images / f"{name}.log",
    )
    with buildah.container("scratch") as container:
        buildah.run("add", "--quiet", container, str(root), "/")
        buildah.run("config", "--env", "PATH=/usr/local/bin:/usr/bin:/bin", "--cmd", "python3", container)
        root.unlink()
        yield container


def _make(name: str, paths: Paths, archive: Path) -> None:
    """Build an image from its own Dockerfile."""
    buildah = Buildah.of(paths)
    arguments = dict(FOR_CPUS.get(name, {}))
    if "base" in RECIPES[name].on:
        arguments["BASE_IMAGE"] = _require_base(paths)
    elif "pytorch" in RECIPES[name].on:
        arguments["BASE_IMAGE"] = _require_pytorch(paths)
    buildah.build(
        REPO / dockerfile(name),
        reference=reference(name),
        arguments=arguments,
        log=paths.images / f"{name}.log",
    )
    buildah.push(reference(name), archive)


def _make_pytorch(paths: Paths, archive: Path) -> None:
    """Build the PyTorch image for this machine's CPUs: what it lacks of CUDA is replaced by stubs."""
    buildah = Buildah.of(paths)
    plain = reference("pytorch", "without-cuda")
    buildah.build(
        REPO / dockerfile("pytorch"),
        reference=plain,
        arguments={"BASE_IMAGE": _require_base(paths), "REQUIREMENTS": "requirements-stubs.txt"},
        log=paths.images / "pytorch.log",
    )
    with buildah.container(plain) as container:
        root = Path(buildah.run("mount", container).strip())
        (site,) = root.glob("opt/venv/lib/python3*/site-packages")
        shell.run([sys.executable, REPO / "runtime_images" / "pytorch" / "cpu_stubs.py", site])
        buildah.run("unmount", container)
        buildah.run("commit", "--quiet", container, reference("pytorch"))
        buildah.run("tag", reference("pytorch"), reference("pytorch", describe(paths, "pytorch").key))
    buildah.push(reference("pytorch"), archive)


def _make_horovod(name: str, framework: str, paths: Paths, archive: Path) -> None:
    """Compile Horovod against the image of a framework, for this machine's CPUs, in Debian with a compiler."""
    buildah = Buildah.of(paths)
    images = {"BUILD_IMAGE": _require_compiler(paths), "BASE_IMAGE": _require(paths, framework)}
    buildah.build(
        REPO / dockerfile(name),
        reference=reference(name),
        arguments={**FOR_CPUS[name], **images},
        log=paths.images / f"{name}.log",
    )
    buildah.push(reference(name), archive)


def _require(paths: Paths, name: str) -> str:
    """Return an image to build upon, as it is to be now: the fixed tag may be that of another checkout."""
    wanted = reference(name, _key(name))
    if not Buildah.of(paths).has(wanted):
        RECIPES[name].make(paths, describe(paths, name).archive)
        Buildah.of(paths).run("tag", reference(name), wanted)
    return wanted


def _require_compiler(paths: Paths) -> str:
    """Return what is compiled in: the base image and a compiler; it never leaves buildah's storage."""
    digest = hashlib.sha256("\n".join((_DEBIAN, *_COMPILER, *_UNWANTED)).encode()).hexdigest()[:12]
    name, buildah = reference("compiler", digest), Buildah.of(paths)
    if not buildah.has(name):
        with _debian(paths, "compiler", _COMPILER) as container:
            buildah.run("commit", "--quiet", container, name)
    return name


def _require_base(paths: Paths) -> str:
    """Return the base image, made again when buildah's storage has lost it."""
    if not Buildah.of(paths).has(_base()):
        _make_base(paths, describe(paths, "base").archive)
    return _base()


def _require_pytorch(paths: Paths) -> str:
    """Return the PyTorch image as it is now, under a name that no other build moves; made where there is none."""
    buildah = Buildah.of(paths)
    image = describe(paths, "pytorch")
    fixed = reference("pytorch", image.key)
    if not buildah.has(fixed):
        _make_pytorch(paths, image.archive)
    return fixed


FOR_CPUS: Final[Mapping[str, Mapping[str, str]]] = {
    "tensorflow": {"REQUIREMENTS": "requirements-cpu.txt"},
    "horovod": {"BASE_IMAGE": reference("pytorch"), "GPU_OPERATIONS": ""},
    "horovod-tensorflow": {
        "BASE_IMAGE": reference("tensorflow"),
        "GPU_OPERATIONS": "",
        "REQUIREMENTS": "requirements-tensorflow.txt",
    },
}
"""Build arguments of images whose default is a build for GPUs."""
_OWN_RUNTIME: Final = "runtime_images/regatta_runtime"

RECIPES: Final[dict[str, Recipe]] = {
    "base": Recipe(
        inputs=(),
        settings=(_DEBIAN, *_PACKAGES, *_UNWANTED),
        make=_make_base,
        hint="half a minute",
    ),
    "runtime": Recipe(
        inputs=(_OWN_RUNTIME,),
        make=partial(_make, "runtime"),
    ),
    "operator": Recipe(
        inputs=(
            *(f"runtime_images/operator/{file}" for file in ("Dockerfile", "requirements.txt")),
            *("runtime_images/operator/requirements-build.txt", _OWN_RUNTIME),
            *("operator", "pyproject.toml", "README.md", "LICENSE"),
        ),
        make=partial(_make, "operator"),
        on=("base",),
        hint="half a minute the first time",
    ),
    "feed": Recipe(
        inputs=(
            *(f"runtime_images/feed/{file}" for file in ("Dockerfile", "requirements.txt")),
            *("runtime_images/regatta_feed", _OWN_RUNTIME),
        ),
        make=partial(_make, "feed"),
        on=("base",),
        hint="a minute the first time",
    ),
    "pytorch": Recipe(
        inputs=tuple(
            f"runtime_images/pytorch/{file}"
            for file in ("Dockerfile", "requirements-cpu.txt", "requirements-stubs.txt", "cpu_stubs.py")
        ),
        make=_make_pytorch,
        on=("base",),
        hint="two minutes",
    ),
    "tensorflow": Recipe(
        inputs=tuple(f"runtime_images/tensorflow/{file}" for file in ("Dockerfile", "requirements-cpu.txt")),
        make=partial(_make, "tensorflow"),
        on=("base",),
        hint="two minutes",
    ),
    "keras": Recipe(
        inputs=tuple(f"runtime_images/keras/{file}" for file in ("Dockerfile", "requirements.txt")),
        make=partial(_make, "keras"),
        on=("pytorch",),
        hint="a minute",
    ),
}
for _name, _framework, _list in (
    ("horovod", "pytorch", "requirements.txt"),
    ("horovod-tensorflow", "tensorflow", "requirements-tensorflow.txt"),
):
    RECIPES[_name] = Recipe(
        inputs=tuple(
            f"runtime_images/horovod/{file}"
            for file in (
                *("Dockerfile", "build_wheel.py", "cxx", "tensorflow_headers.py"),
                *("requirements-build.txt", _list),
            )
        ),
        settings=_COMPILER,
        make=partial(_make_horovod, _name, _framework),
        on=(_framework,),
        hint="three minutes the first time: it compiles Horovod",
    )
NAMES: Final = tuple(RECIPES)
