"""Writing a small image archive by hand: one layer, one file, no image builder needed."""

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Final

ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64"}


def write(path: Path, *, reference: str, program: Path, machine: str) -> None:
    """Write a docker-archive whose image holds one static program, `/NAME`, and runs it."""
    layer = _tar({program.name: program.read_bytes()}, mode=0o755)
    layer_digest = hashlib.sha256(layer).hexdigest()
    config = json.dumps(
        {
            "architecture": ARCHITECTURES.get(machine, machine),
            "os": "linux",
            "config": {"Entrypoint": [f"/{program.name}"], "User": "65535:65535"},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer_digest}"]},
            "history": [{"created_by": program.name}],
        }
    ).encode()
    config_name = f"{hashlib.sha256(config).hexdigest()}.json"
    manifest = [{"Config": config_name, "RepoTags": [reference], "Layers": [f"{layer_digest}.tar"]}]
    files = {config_name: config, "manifest.json": json.dumps(manifest).encode(), f"{layer_digest}.tar": layer}
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_bytes(_tar(files, mode=0o644))
    unfinished.rename(path)


def _tar(files: dict[str, bytes], *, mode: int) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            tar.addfile(entry, io.BytesIO(content))
    return written.getvalue()
