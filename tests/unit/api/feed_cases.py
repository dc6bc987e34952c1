"""Jobs with a feed: the part of the table that is about `preprocessing`."""

from __future__ import annotations

from typing import Any

from tests.unit.api.case import Bad, Good, job

__all__ = ["BAD", "GOOD", "fed"]

PATH = "spec.preprocessing"
SOURCE = {"uri": "/data/train", "format": "ImageFolder", "volume": {"persistentVolumeClaim": {"claimName": "photos"}}}
PIPELINE = [{"decodeImage": {}}, {"randomResizedCrop": {"size": 224}}, {"scale": {}}]


def fed(**fields: Any) -> dict[str, Any]:
    """A sound job with a feed, with fields of the block changed; one that is `...` is taken out."""
    block = {"source": SOURCE, "pipeline": PIPELINE, "batchSize": 64, **fields}
    return job(preprocessing={key: value for key, value in block.items() if value is not ...})


def source(**fields: Any) -> dict[str, Any]:
    merged = {**SOURCE, **fields}
    return fed(source={key: value for key, value in merged.items() if value is not ...})


BAD = (
    Bad(title="no source", job=fed(source=...), path=f"{PATH}.source", server_words=("Required value",)),
    Bad(title="no batch size", job=fed(batchSize=...), path=f"{PATH}.batchSize", server_words=("Required value",)),
    Bad(title="batches of nothing", job=fed(batchSize=0), path=f"{PATH}.batchSize", server_words=("greater than",)),
    Bad(title="a format nobody has", job=source(format="Zip"), path=f"{PATH}.source.format", words=("ImageFolder",)),
    Bad(
        title="a relative path of the data",
        job=source(uri="data/train"),
        path=f"{PATH}.source.uri",
        words=("absolute path", "s3://"),
    ),
    Bad(
        title="a path out of the volume",
        job=source(uri="/data/../etc"),
        path=f"{PATH}.source.uri",
        words=("'..'",),
        server=False,
    ),
    Bad(
        title="data outside of the volume that holds it",
        job=source(mountPath="/elsewhere"),
        path=f"{PATH}.source.uri",
        words=("must lie in the volume",),
        server=False,
    ),
    Bad(
        title="a place for no volume",
        job=source(volume=..., mountPath="/data"),
        path=f"{PATH}.source.mountPath",
        words=("there is none",),
    ),
    Bad(
        title="a volume beside a URI",
        job=source(uri="s3://bucket/train"),
        path=f"{PATH}.source.volume",
        words=("does not belong to a URI",),
        server=False,
    ),
    Bad(
        title="two sources in one volume",
        job=source(volume={"emptyDir": {}, "nfs": {"server": "a", "path": "/"}}),
        path=f"{PATH}.source.volume",
        words=("exactly one",),
        server=False,
    ),
    Bad(
        title="a step that does not exist",
        job=fed(pipeline=[{"resise": {"size": 224}}]),
        path=f"{PATH}.pipeline[0].resise",
        words=("did you mean resize?",),
        server_words=("pipeline[0]",),
    ),
    Bad(
        title="two steps in one",
        job=fed(pipeline=[{"decodeImage": {}, "scale": {}}]),
        path=f"{PATH}.pipeline[0]",
        words=("one key",),
        server_words=("must have at most 1",),
    ),
    Bad(
        title="a size that only the data decides",
        job=fed(pipeline=[{"decodeImage": {}}, {"resize": {"size": 224}}]),
        path=f"{PATH}.bufferMemory",
        words=("how large a sample becomes", "512Mi"),
        server=False,
    ),
    Bad(
        title="a user's own step, whose result is anything",
        job=fed(pipeline=[{"python": {"module": "mine", "function": "make"}}]),
        path=f"{PATH}.bufferMemory",
        words=("write four batches",),
        server=False,
    ),
    Bad(
        title="memory that is no quantity",
        job=fed(bufferMemory="much"),
        path=f"{PATH}.bufferMemory",
        words=("quantity",),
    ),
    Bad(title="a cache that is no quantity", job=fed(cacheSize="20GB"), path=f"{PATH}.cacheSize", words=("quantity",)),
    Bad(
        title="decoded texts",
        job=fed(cache="Decoded", pipeline=[{"cast": {"dtype": "float32"}}], bufferMemory="1Gi"),
        path=f"{PATH}.cache",
        words=("decodeImage",),
        server=False,
    ),
    Bad(
        title="a feed beside a program that cannot read it",
        job={**fed(), "spec": {**fed()["spec"], "runtime": "Off", "image": "app:1"}},
        path=PATH,
        words=("needs the runtime",),
    ),
    Bad(
        title="a variable that the sidecar computes",
        job=fed(env=[{"name": "REGATTA_FEED_SPEC", "value": "{}"}]),
        path=f"{PATH}.env[0].name",
        words=("leave it out",),
        server=False,
    ),
    Bad(
        title="a field that does not exist",
        job=fed(batchsize=3),
        path=f"{PATH}.batchsize",
        server_words=("unknown field",),
    ),
    Bad(
        title="a limit that is no amount",
        job=fed(resources={"limits": {"memory": "lots"}}),
        path=f"{PATH}.resources.limits.memory",
        words=("quantity",),
        server=False,
    ),
)

GOOD = (
    Good(title="a feed", job=fed()),
    Good(title="a feed of a bucket", job=source(uri="s3://bucket/train", volume=...)),
    Good(title="a feed whose volume is mounted above the data", job=source(mountPath="/data")),
    Good(
        title="a feed with everything",
        job=fed(
            epochs=90,
            shuffle={"seed": 7},
            dropLast=False,
            onError="Fail",
            cache="Decoded",
            cacheSize="20Gi",
            bufferMemory="2Gi",
            image="registry.example/feed:1",
            env=[{"name": "AWS_REGION", "value": "eu-west-1"}],
            envFrom=[{"secretRef": {"name": "bucket"}}],
            resources={"requests": {"cpu": "4"}, "limits": {"memory": "4Gi"}},
        ),
    ),
)
