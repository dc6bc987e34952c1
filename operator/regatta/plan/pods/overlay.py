"""Strategic merge of a user's podTemplate over the pod that Regatta built.

An overlay must merge where Kubernetes itself merges, or a user who adds one variable loses all the others. The merge
keys are those of the `patchMergeKey` tags of k8s.io/api/core/v1 types (PodSpec, Container, ResourceRequirements).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

__all__ = ["merge"]

MERGE_KEYS: Final[Mapping[str, str]] = {
    "containers": "name",
    "initContainers": "name",
    "ephemeralContainers": "name",
    "volumes": "name",
    "imagePullSecrets": "name",
    "hostAliases": "ip",
    "topologySpreadConstraints": "topologyKey",
    "schedulingGates": "name",
    "resourceClaims": "name",
    "claims": "name",
    "env": "name",
    "ports": "containerPort",
    "volumeMounts": "mountPath",
    "volumeDevices": "devicePath",
}
"""Lists that merge by element; every other list is replaced whole, as the API server's strategic patch does."""

DIRECTIVE: Final = "$patch"
"""`$patch: delete` on an element removes it; `$patch: replace` on a map drops what was below it."""

REPLACED_WHOLE: Final = frozenset({"volumes", "env"})
"""Elements that hold one of several exclusive kinds (a volume has one source, a variable a value or a reference):
merging two kinds gives an object the API server refuses, so an overlay of the same name replaces the element."""


def merge(base: Mapping[str, Any], overlay: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with `overlay` merged over it by Kubernetes' own merge keys; null removes a field.

    Neither argument is changed; unchanged parts of `base` are shared with the result.
    """
    if overlay.get(DIRECTIVE) == "replace":
        return {key: value for key, value in overlay.items() if key != DIRECTIVE}
    result = dict(base)
    for key, value in overlay.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping):
            below = result.get(key)
            result[key] = merge(below if isinstance(below, Mapping) else {}, value)
        elif isinstance(value, Sequence) and not isinstance(value, str) and key in MERGE_KEYS:
            result[key] = _merge_list(result.get(key) or (), value, key=key)
        else:
            result[key] = value
    return result


def _merge_list(base: Sequence[Any], overlay: Sequence[Any], *, key: str) -> list[Any]:
    merge_key = MERGE_KEYS[key]
    elements = {element[merge_key]: element for element in base}
    for element in overlay:
        name = element.get(merge_key)
        if element.get(DIRECTIVE) == "delete":
            elements.pop(name, None)
        elif name in elements and key not in REPLACED_WHOLE:
            elements[name] = merge(elements[name], element)
        else:
            elements[name] = merge({}, element)
    return list(elements.values())
