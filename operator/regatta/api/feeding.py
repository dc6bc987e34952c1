"""What a `preprocessing` block must keep to beyond its types, as far as pods and the pipeline's outline go."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator
from typing import Final

from regatta.api.batches import buffer_bytes
from regatta.api.core import PIPELINE_STEPS
from regatta.api.preprocessing import FeedCache, Preprocessing, PreprocessingSource
from regatta.api.problem import Problem, join
from regatta.api.quantity import parse_quantity
from regatta.api.rules import (
    NO_SPACE,
    env_from_problems,
    path_problems,
    resource_problems,
    source_problems,
    variable_problems,
)
from regatta.api.spec import Runtime, TrainingJobSpec

__all__ = ["MAX_PIPELINE_BYTES", "WITHOUT_RUNTIME", "feed_problems", "pipeline_text"]

_PATH: Final = "spec.preprocessing"
MAX_PIPELINE_BYTES: Final = 65_536
"""The sidecar reads the pipeline from its environment, where one variable holds 128 KiB."""
WITHOUT_RUNTIME: Final = "needs the runtime, which brings the program's end of the feed; leave out runtime: Off"
_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]{0,31}://.+", re.DOTALL)


def feed_problems(spec: TrainingJobSpec) -> Iterator[Problem]:
    """Everything in a readable spec's `preprocessing` that could not work."""
    block = spec.preprocessing
    if block is None:
        return
    if spec.runtime is Runtime.OFF:
        yield Problem(_PATH, WITHOUT_RUNTIME)
    yield from _source(block.source)
    steps = list(_steps(block))
    yield from steps
    if len(pipeline_text(block)) > MAX_PIPELINE_BYTES:
        yield Problem(f"{_PATH}.pipeline", f"is longer than {MAX_PIPELINE_BYTES} bytes as JSON; shorten it")
    amounts = list(_amounts(block))
    yield from amounts
    if not steps and not amounts and buffer_bytes(block, processes=1) is None:
        yield Problem(
            f"{_PATH}.bufferMemory",
            "required here, because the pipeline does not say how large a sample becomes; write four batches of each "
            "of a worker's processes, such as 512Mi, or end with a crop or resize: {size: [height, width]}",
        )
    if block.cache is FeedCache.DECODED and (not block.pipeline or "decodeImage" not in block.pipeline[0]):
        yield Problem(f"{_PATH}.cache", "Decoded keeps images, and the pipeline does not begin with decodeImage")
    if block.image is not None and re.search(r"\s", block.image):
        yield Problem(f"{_PATH}.image", NO_SPACE)
    yield from variable_problems(block.env, path=f"{_PATH}.env")
    yield from env_from_problems(block.env_from, path=f"{_PATH}.envFrom")
    yield from resource_problems(block.resources, path=f"{_PATH}.resources")


def pipeline_text(block: Preprocessing) -> str:
    """The block as the sidecar gets it: JSON at its place in the spec, without what only pods are made of."""
    kept = {"source", "pipeline", "batchSize", "epochs", "shuffle", "dropLast", "onError", "cache"}
    told = {key: value for key, value in block.to_api().items() if key in kept and value is not None}
    told["source"] = {key: told["source"][key] for key in ("uri", "format", "data", "label") if key in told["source"]}
    return json.dumps({"spec": {"preprocessing": told}}, separators=(",", ":"))


def _source(source: PreprocessingSource) -> Iterator[Problem]:
    path = f"{_PATH}.source"
    remote = _SCHEME.fullmatch(source.uri) is not None
    if not remote:
        yield from path_problems(source.uri, path=f"{path}.uri", example="/data/train or s3://bucket/train")
    if source.volume is None:
        if source.mount_path is not None:
            yield Problem(f"{path}.mountPath", "is where the sidecar sees source.volume, and there is none")
        return
    yield from source_problems(source.volume, path=f"{path}.volume", claim="photographs")
    if remote:
        yield Problem(f"{path}.volume", "does not belong to a URI; leave it out, or write a path in it as uri")
    elif source.mount_path is not None:
        yield from path_problems(source.mount_path, path=f"{path}.mountPath", example="/data")
        if not f"{source.uri}/".startswith(f"{source.mount_path.rstrip('/')}/"):
            yield Problem(f"{path}.uri", f"must lie in the volume, which is mounted at {source.mount_path}")


def _steps(block: Preprocessing) -> Iterator[Problem]:
    for index, step in enumerate(block.pipeline):
        where = join(f"{_PATH}.pipeline", index)
        if len(step) != 1:
            yield Problem(where, "must be an object with one key, the step's name, such as {scale: {}}")
            continue
        (name,) = step
        if name not in PIPELINE_STEPS:
            near = difflib.get_close_matches(name, PIPELINE_STEPS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(PIPELINE_STEPS)}"
            yield Problem(join(where, name), f"no such step; {hint}")
        elif step[name] is not None and not isinstance(step[name], dict):
            yield Problem(join(where, name), "must be an object of fields, such as {} for the defaults")


def _amounts(block: Preprocessing) -> Iterator[Problem]:
    for name, value in (("cacheSize", block.cache_size), ("bufferMemory", block.buffer_memory)):
        if value is None:
            continue
        try:
            amount = parse_quantity(value)
        except ValueError as error:
            yield Problem(f"{_PATH}.{name}", str(error))
            continue
        if amount < 1 << 20:
            yield Problem(f"{_PATH}.{name}", "is less than 1Mi")
