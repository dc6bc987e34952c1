"""Parts of core/v1 inside our API: plain dictionaries in Python, and in the CRD only as much schema as rules need.

Each alias says with `WithJsonSchema` what the CRD holds: the keys by which lists merge and that validation reads are
typed, the rest is preserved as it is and checked by the API server when the pod is created.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import WithJsonSchema

__all__ = [
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

_OPEN = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
_QUANTITIES = {
    "type": "object",
    "maxProperties": 32,
    "additionalProperties": {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]},
}
_STRINGS = {"type": "object", "maxProperties": 128, "additionalProperties": {"type": "string"}}


def _text(description: str, max_length: int) -> dict[str, Any]:
    return {"type": "string", "minLength": 1, "maxLength": max_length, "description": description}


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
Volume = Annotated[
    dict[str, Any],
    WithJsonSchema(
        {**_OPEN, "required": ["name"], "properties": {"name": _text("Name of the volume, a DNS label.", 63)}}
    ),
]
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
VolumeSource = Annotated[dict[str, Any], WithJsonSchema(_OPEN)]
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
                "spec": {
                    **_OPEN,
                    "description": "A partial core/v1 PodSpec. Containers merge by name (trainer is the training "
                    "container), other lists by their Kubernetes merge key.",
                },
            },
        }
    ),
]
