"""Parts of core/v1 inside our API: plain dictionaries in Python, and in the CRD only as much schema as rules need.

Each alias says with `WithJsonSchema` what the CRD holds: what rules read and the kinds of a volume are typed, the rest
is preserved as it is and checked by the API server when the pod is created.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import WithJsonSchema

__all__ = [
    "VOLUME_SOURCES",
    "Affinity",
    "EnvFromSource",
    "EnvVar",
    "PipelineStep",
    "PodTemplate",
    "Resources",
    "Shuffle",
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
PipelineStep = Annotated[dict[str, Any], WithJsonSchema(_OPEN)]
Shuffle = Annotated[dict[str, Any], WithJsonSchema(_OPEN)]
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
