"""The renderer's npm packages, installed into the cache, and its page, bundled there."""

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.cluster.tool import debian, shell
from tests.cluster.tool.paths import Paths
from tests.cluster.tool.progress import Progress

__all__ = ["SOURCES", "bundle", "packages"]

SOURCES: Final = Path(__file__).with_name("renderer")
LISTS: Final = ("package.json", "package-lock.json", ".npmrc")
NODE: Final = {"node": "nodejs", "npm": "npm"}
KINDS: Final = (".ts", ".tsx", ".js")


def packages(paths: Paths, *, progress: Progress | None = None) -> Path:
    """The folder of installed packages, exactly those of the lock file; none of them runs while it is installed."""
    found = paths.cache / "renderer" / f"packages-{_key(LISTS)}"
    if found.exists():
        return found
    debian.ensure(NODE, progress=progress or Progress())
    step = (progress or Progress()).step("install the renderer's npm packages", hint="a minute, 460 MB")
    with step, _new(found) as folder:
        for name in LISTS:
            shutil.copy(SOURCES / name, folder)
        shell.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=folder)
    return found


def bundle(paths: Paths, *, progress: Progress | None = None) -> Path:
    """The folder with page.js and page.css, the page and all that it imports."""
    installed = packages(paths, progress=progress)
    sources = sorted(path.name for path in SOURCES.iterdir() if path.suffix in KINDS)
    found = paths.cache / "renderer" / f"page-{_key((*LISTS, *sources))}"
    if found.exists():
        return found
    modules = installed / "node_modules"
    itself = modules / "@grafana/ui/node_modules/react-custom-scrollbars-2/lib/index.js"
    with _new(found) as folder:
        command = [
            str(modules / ".bin" / "esbuild"),
            str(SOURCES / "page.tsx"),
            "--bundle",
            "--minify",
            "--format=iife",
            "--log-level=warning",
            '--define:process.env.NODE_ENV="production"',
            f"--outdir={folder}",
            *(f"--loader:.{kind}=dataurl" for kind in ("ttf", "woff", "woff2", "svg", "png")),
            f"--alias:react-custom-scrollbars-2={SOURCES / 'scrollbars.js'}",
            f"--alias:scrollbars-itself={itself}",
        ]
        shell.run(command, cwd=installed, env={"NODE_PATH": str(modules)})
    return found


@contextmanager
def _new(wanted: Path) -> Iterator[Path]:
    """A new folder that takes the wanted one's place when all went well: others never see half of it."""
    wanted.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=wanted.parent, prefix="unfinished-"))
    try:
        yield folder
        try:
            folder.rename(wanted)
        except OSError:
            # Somebody else was faster.
            if not wanted.exists():
                raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _key(names: tuple[str, ...]) -> str:
    digest = hashlib.sha256()
    for name in names:
        digest.update(name.encode() + b"\0" + (SOURCES / name).read_bytes() + b"\0")
    return digest.hexdigest()[:12]
