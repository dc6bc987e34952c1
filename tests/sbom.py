"""Write the software bill of materials of each image: `python tests/sbom.py DIRECTORY`, one CycloneDX file an image.

It lists the Python packages that the image's own pins name for Linux and that Python, those of the image it stands on
included, and Regatta itself. What the base image brings (Debian's packages and Python) is the publisher's to list.
"""

import argparse
import json
import re
import sys
import tomllib
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPO: Final = Path(__file__).resolve().parents[1]
IMAGES: Final = REPO / "runtime_images"
PYTHON_BASE: Final = "docker.io/library/python:3.13-slim-bookworm"
PYTHON: Final = "3.13"
"""That of the base image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Materials:
    """What an image is made from: lists of pins below runtime_images, and what is compiled or copied besides."""

    pins: tuple[str, ...] = ()
    on: str = ""
    """The image of ours it stands on; empty for the base image, or for none."""
    also: Mapping[str, str] = field(default_factory=dict)
    based: bool = True
    """Whether there is a base image at all."""


IMAGE_MATERIALS: Final[Mapping[str, Materials]] = {
    "operator": Materials(pins=("operator/requirements.txt",)),
    "runtime": Materials(based=False),
    "feed": Materials(pins=("feed/requirements.txt",)),
    "pytorch": Materials(pins=("pytorch/requirements.txt",)),
    "tensorflow": Materials(pins=("tensorflow/requirements.txt",)),
    "keras": Materials(pins=("keras/requirements.txt",), on="pytorch"),
    "horovod": Materials(pins=("horovod/requirements.txt",), on="pytorch", also={"horovod": "0.28.1"}),
    "horovod-tensorflow": Materials(
        pins=("horovod/requirements-tensorflow.txt",), on="tensorflow", also={"horovod": "0.28.1"}
    ),
}


def version() -> str:
    """Regatta's version, as its package says."""
    pyproject = tomllib.loads((REPO / "pyproject.toml").read_text())
    text = (REPO / pyproject["tool"]["hatch"]["version"]["path"]).read_text()
    found = re.search(r'__version__ = "([^"]+)"', text)
    assert found is not None
    return found[1]


def pinned(list_: str, *, python: str = PYTHON) -> Iterator[tuple[str, str]]:
    """Names and versions in one list of pins, as they count there; raises ValueError at a line that pins nothing."""
    place = {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "sys_platform": "linux",
        "platform_machine": "x86_64",
        "implementation_name": "cpython",
    }
    for line in (IMAGES / list_).read_text().splitlines():
        wanted = line.partition("#")[0].strip()
        if not wanted:
            continue
        pin = Requirement(wanted)
        version = re.fullmatch(r"==([^*]+)", str(pin.specifier))
        if version is None:
            raise ValueError(f"{list_}: {wanted!r} is not pinned; run `make pins`")
        if pin.marker is None or pin.marker.evaluate(place):
            yield canonicalize_name(pin.name), version[1]


def packages(image: str, *, python: str = PYTHON) -> dict[str, str]:
    """Versions of the Python packages of an image by name; what is installed last wins."""
    materials = IMAGE_MATERIALS[image]
    found = packages(materials.on, python=python) if materials.on else {}
    for list_ in materials.pins:
        found |= dict(pinned(list_, python=python))
    return {**found, **materials.also}


def bill(image: str, *, base: str = PYTHON_BASE) -> dict[str, Any]:
    """The image's bill in CycloneDX 1.6, the same for the same contents."""
    ours = {"type": "application", "name": "regatta", "version": version(), "licenses": [{"expression": "Apache-2.0"}]}
    components: list[dict[str, Any]] = [
        {"type": "library", "name": name, "version": number, "purl": f"pkg:pypi/{name}@{number}"}
        for name, number in sorted(packages(image).items())
    ]
    components.append({**ours, "purl": f"pkg:generic/regatta@{version()}"})
    if IMAGE_MATERIALS[image].based:
        components.append({"type": "container", "name": base})
    subject = {"type": "container", "name": f"regatta/{image}", "version": version()}
    seed = json.dumps([subject, components], sort_keys=True)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, seed)}",
        "version": 1,
        "metadata": {"component": subject},
        "components": components,
    }


def main() -> int:
    """Write all bills."""
    parser = argparse.ArgumentParser(description="Write a bill of materials for each image.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--base", default=PYTHON_BASE, help="the base image, best with its digest")
    options = parser.parse_args()
    options.directory.mkdir(parents=True, exist_ok=True)
    for image in IMAGE_MATERIALS:
        file = options.directory / f"{image}.cdx.json"
        file.write_text(json.dumps(bill(image, base=options.base), indent=1) + "\n")
        print(file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
