"""Cutting an archive down to what a node lacks: a change of our own code is one small layer among large ones.

A docker-archive names its layers by their digests, and containerd keeps them under the same. So what a node has is left
out, and the rest is written as an OCI layout, which containerd completes from what it has.
"""

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any, Final

_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
_LAYER: Final = "application/vnd.oci.image.layer.v1.tar"
_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"


def cut(archive: Path, *, content: Path, target: Path) -> Path:
    """Write to `target` what the containerd folder `content` lacks of a docker-archive's image; return `target`."""
    blobs = content / "io.containerd.content.v1.content" / "blobs" / "sha256"
    with tarfile.open(archive) as full, tarfile.open(target, "w") as thin:
        (entry,) = json.loads(_read(full, "manifest.json"))
        config = _read(full, entry["Config"])
        layers = []
        for name in entry["Layers"]:
            member = full.getmember(name)
            digest = Path(name).name.removesuffix(".tar")
            layers.append(_descriptor(_LAYER, digest=digest, size=member.size))
            if not (blobs / digest).exists():
                _add(thin, digest, size=member.size, content=full.extractfile(member))
        manifest = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": _put(thin, _CONFIG, config),
            "layers": layers,
        }
        described = _put(thin, _MANIFEST, json.dumps(manifest).encode())
        described["annotations"] = {"io.containerd.image.name": entry["RepoTags"][0]}
        index = json.dumps({"schemaVersion": 2, "manifests": [described]}).encode()
        _write(thin, "oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
        _write(thin, "index.json", index)
    return target


def _descriptor(kind: str, *, digest: str, size: int) -> dict[str, Any]:
    return {"mediaType": kind, "digest": f"sha256:{digest}", "size": size}


def _put(thin: tarfile.TarFile, kind: str, blob: bytes) -> dict[str, Any]:
    digest = hashlib.sha256(blob).hexdigest()
    _write(thin, f"blobs/sha256/{digest}", blob)
    return _descriptor(kind, digest=digest, size=len(blob))


def _add(thin: tarfile.TarFile, digest: str, *, size: int, content: Any) -> None:
    described = tarfile.TarInfo(f"blobs/sha256/{digest}")
    described.size = size
    thin.addfile(described, content)


def _write(thin: tarfile.TarFile, name: str, content: bytes) -> None:
    described = tarfile.TarInfo(name)
    described.size = len(content)
    thin.addfile(described, io.BytesIO(content))


def _read(full: tarfile.TarFile, name: str) -> bytes:
    found = full.extractfile(name)
    if found is None:
        raise ValueError(f"{name} is no file in the archive")
    return found.read()
