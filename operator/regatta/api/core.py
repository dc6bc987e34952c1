"""Parts of core/v1 inside our API: plain dictionaries in Python, and in the CRD only as much schema as rules need.

Each alias says with `WithJsonSchema` what the CRD holds: what rules read and the kinds of a volume are typed, the rest
is preserved as it is and checked by the API server when the pod is created.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import Field, WithJsonSchema

__all__ = [
    "PIPELINE_STEPS",
    "VOLUME_SOURCES",
    "Affinity",
    "EnvFromSource",
    "EnvVar",
    "PipelineStep",
    "PodTemplate",
    "Quantity",
    "Resources",
    "Toleration",
    "Volume",
    "VolumeMount",
    "VolumeSource",
]

VOLUME_SOURCES: Final = (
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "fc",
    "hostPath",
    "image",
    "iscsi",
    "nfs",
    "persistentVolumeClaim",
    "projected",
    "secret",
)
"""Kinds of volume that the CRD names; others are preserved too."""

_OPEN: Final = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
_QUANTITIES: Final = {
    "type": "object",
    "maxProperties": 32,
    "additionalProperties": {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]},
}
_STRINGS: Final = {"type": "object", "maxProperties": 128, "additionalProperties": {"type": "string"}}


def _text(description: str, max_length: int) -> dict[str, Any]:
    return {"type": "string", "minLength": 1, "maxLength": max_length, "description": description}


def _partial(description: str, **properties: Any) -> dict[str, Any]:
    return {**_OPEN, "description": description, "properties": properties}


# Kinds are named because CEL's equality overlooks a preserved key that only one side has: without them, an emptyDir
# that became a persistentVolumeClaim would pass as unchanged.
_SOURCES: Final = dict.fromkeys(VOLUME_SOURCES, _OPEN)
_VOLUME: Final = {
    **_OPEN,
    "required": ["name"],
    "properties": {"name": _text("Name of the volume, a DNS label.", 63), **_SOURCES},
}
_CONTAINERS: Final = {
    "type": "array",
    "maxItems": 64,
    "items": {**_OPEN, "required": ["name"], "properties": {"name": _text("Name of the container.", 63)}},
}
_ITEMS: Final = {"type": "array", "maxItems": 256, "items": _OPEN}

EnvVar = Annotated[
    dict[str, Any],
    WithJsonSchema(
        {
            "type": "object",
            "required": ["name"],
            "properties": {
                "name": _text("Name of the variable.", 256),
                "value": {"type": "string", "description": "Its value."},
                "valueFrom": {**_OPEN, "description": "Where the value comes from, as in core/v1."},
            },
        }
    ),
]
EnvFromSource = Annotated[dict[str, Any], WithJsonSchema(_OPEN)]
Volume = Annotated[dict[str, Any], WithJsonSchema(_VOLUME)]
VolumeMount = Annotated[
    dict[str, Any],
    WithJsonSchema(
        {
            **_OPEN,
            "required": ["name", "mountPath"],
            "properties": {
                "name": _text("Name of a volume of the pod.", 63),
                "mountPath": _text("Absolute path in the container.", 1024),
            },
        }
    ),
]
VolumeSource = Annotated[dict[str, Any], WithJsonSchema({**_OPEN, "properties": _SOURCES})]
Toleration = Annotated[dict[str, Any], WithJsonSchema(_OPEN)]
Affinity = Annotated[dict[str, Any], WithJsonSchema(_OPEN)]
PIPELINE_STEPS: Final = {
    "decodeImage": "Decode an image: {channels: 3 or 1}.",
    "resize": "Resize to {size: shorter side, or [height, width]}.",
    "centerCrop": "Cut out the middle: {size}.",
    "randomResizedCrop": "Cut out a random part and resize it: {size, scale, ratio}.",
    "randomHorizontalFlip": "Mirror with a probability: {p}.",
    "randomVerticalFlip": "Turn upside down with a probability: {p}.",
    "randomRotation": "Rotate by a random angle: {degrees}.",
    "colorJitter": "Change colours at random: {brightness, contrast, saturation, hue}.",
    "normalize": "Subtract a mean and divide by a deviation: {mean, std}.",
    "scale": "Bytes to numbers of 0 to 1: {}.",
    "cast": "Change the type: {dtype}.",
    "layout": "Order of the dimensions: {order: NCHW or NHWC}.",
    "classIndex": "The label as a number: {}.",
    "oneHot": "The label as a vector: {classes}.",
    "tokenize": "Text to numbers: {file: tokenizer.json}.",
    "pack": "Join texts to one length: {length}.",
    "pad": "Fill texts up to one length: {length, value}.",
    "resample": "Change the sample rate of audio: {rate}.",
    "mono": "The mean of all channels: {}.",
    "spectrogram": "Spectrogram of audio.",
    "mel": "Mel bands of a spectrogram.",
    "log": "Logarithm.",
    "fixedLength": "Cut or fill audio to one length.",
    "mixUp": "Mix pairs of samples: {alpha}.",
    "cutMix": "Put a part of one image into another: {alpha}.",
    "python": "A function of your own: {module, function}.",
}
"""The steps of a pipeline; a test holds the names equal to the feed's own."""
PipelineStep = Annotated[
    dict[str, Any],
    WithJsonSchema(
        {
            "type": "object",
            "minProperties": 1,
            "maxProperties": 1,
            "properties": {name: {**_OPEN, "description": words} for name, words in PIPELINE_STEPS.items()},
        }
    ),
]
Quantity = Annotated[str, Field(min_length=1, max_length=32)]
Resources = Annotated[
    dict[str, Any],
    WithJsonSchema(
        {
            **_OPEN,
            "properties": {
                "requests": {**_QUANTITIES, "description": "What the container is guaranteed."},
                "limits": {**_QUANTITIES, "description": "What the container may not exceed."},
            },
        }
    ),
]
PodTemplate = Annotated[
    dict[str, Any],
    WithJsonSchema(
        {
            "type": "object",
            "properties": {
                "metadata": {
                    "type": "object",
                    "description": "Labels and annotations that every worker pod gets.",
                    "properties": {
                        "labels": {**_STRINGS, "description": "Labels of every worker pod."},
                        "annotations": {**_STRINGS, "description": "Annotations of every worker pod."},
                    },
                },
                "spec": _partial(
                    "A partial core/v1 PodSpec. Containers merge by name (trainer is the training container), other "
                    "lists by their Kubernetes merge key.",
                    containers={
                        **_CONTAINERS,
                        "description": "Changes to the container trainer, and sidecars, by name.",
                    },
                    initContainers={**_CONTAINERS, "description": "Containers that run before the training."},
                    volumes={"type": "array", "maxItems": 128, "items": _VOLUME, "description": "Further volumes."},
                    nodeSelector={**_STRINGS, "description": "Labels that a node must carry."},
                    tolerations={**_ITEMS, "description": "Taints that the pods tolerate."},
                    topologySpreadConstraints={**_ITEMS, "description": "How the pods spread over the cluster."},
                    imagePullSecrets={**_ITEMS, "description": "Secrets with the credentials of image registries."},
                    securityContext={**_OPEN, "description": "Security settings of the pods."},
                    affinity={**_OPEN, "description": "Node and pod affinity."},
                ),
            },
        }
    ),
]
