"""The CRD's CEL rules: what the API server itself refuses, with a message that says what to write instead.

`regatta.api.validate` checks the same in Python, for objects that passed an older CRD and for files.

Every write of a job, its status included, pays for all rules. The API server copies the schema of all properties of an
object each time a rule reads one of them (`Structural.Properties` in k8s.io/apiextensions-apiserver), about 20 us for a
field of the spec: so a rule stands at the field it is about wherever it can, and reads as few others as it can.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from regatta.api import reserved
from regatta.api import rules as python
from regatta.api.feeding import WITHOUT_RUNTIME
from regatta.api.spec import TrainingJobSpec

__all__ = ["EDITABLE", "Rule", "rules"]

EDITABLE: Final = ("suspend", "ttlSecondsAfterFinished", "cleanup", "deadlines", "restart")
"""Fields of the spec that a running job takes over; of restart only maxRestarts, which has a rule of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One CEL rule and the place in the schema that it is attached to."""

    at: str
    """Where the rule's `self` is: properties by name, [] for the items of a list; empty for the object itself."""
    rule: str
    message: str
    field: str = ""
    """What the rule is about, below `at`; the server names it in its refusal."""
    reason: str = "FieldValueInvalid"
    message_expression: str = ""
    """CEL that makes a better message where one text does not do for all cases."""

    def to_api(self) -> dict[str, Any]:
        """The entry of x-kubernetes-validations."""
        body = {"rule": self.rule, "message": self.message, "reason": self.reason}
        if self.message_expression:
            body["messageExpression"] = self.message_expression
        return body | ({"fieldPath": f".{self.field}"} if self.field else {})


def rules() -> Iterator[Rule]:
    """All rules, in the order in which the server reports them."""
    yield from _OF_THE_JOB
    yield _immutable()


def _quoted(texts: tuple[str, ...]) -> str:
    return ", ".join(f"'{text}'" for text in texts)


def _starts_with_any(what: str, beginnings: tuple[str, ...]) -> str:
    return " || ".join(f"{what}.startsWith('{beginning}')" for beginning in beginnings)


_VARIABLES: Final = (
    f"self.name in [{_quoted(reserved.SETTABLE_VARIABLES)}] || "
    f"!(self.name in [{_quoted(reserved.RESERVED_VARIABLES)}] || "
    f"{_starts_with_any('self.name', reserved.VARIABLE_PREFIXES)})"
)
_VOLUME_NAMES: Final = (
    f"!(self.name in [{_quoted(reserved.RESERVED_VOLUMES)}] || self.name.startsWith('{reserved.RESERVED_PREFIX}'))"
)
_FREE_PATHS: Final = " && ".join(
    f"self.{{field}} != '{place}' && !self.{{field}}.startsWith('{place}/')" for place in reserved.RESERVED_PATHS
)

_ON_TENSORFLOW: Final = (
    "self.framework == 'TensorFlow' || (has(self.kerasBackend) && self.kerasBackend == 'tensorflow')"
)

_OF_THE_JOB: Final = (
    Rule(
        at="",
        field="metadata.name",
        rule="self.metadata.name.size() <= 63",
        message="a job's name has at most 63 characters, because pods and labels carry it; choose a shorter one",
    ),
    Rule(
        at="",
        field="metadata.name",
        rule="self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
        message="a job's name holds lower-case letters, digits and '-', and begins and ends with a letter or digit, "
        "such as resnet50-a",
    ),
    Rule(
        at="spec",
        field="command",
        rule="(has(self.command) && self.command.size() > 0) || self.runtime == 'Off'",
        message="required: write the command of one training process, such as [python, train.py]; only runtime: Off "
        "runs an image's own entrypoint",
        reason="FieldValueRequired",
    ),
    Rule(
        at="spec",
        field="image",
        rule="self.framework != 'Custom' || has(self.image)",
        message="required with framework Custom: no default image belongs to it",
        reason="FieldValueRequired",
    ),
    Rule(
        at="spec.image",
        rule="!self.matches('[[:space:]]')",
        message="an image's name holds no space; write one such as registry.example.com/team/app:1.0",
    ),
    Rule(
        at="spec",
        field="kerasBackend",
        rule="!has(self.kerasBackend) || self.framework == 'Keras'",
        message="belongs to framework Keras; leave it out",
    ),
    Rule(
        at="spec",
        field="kerasBackend",
        rule="self.framework != 'Keras' || has(self.kerasBackend)",
        message=python.BACKEND,
        reason="FieldValueRequired",
    ),
    Rule(
        at="spec",
        field="env",
        rule="!has(self.kerasBackend) || !has(self.env) || self.env.all(variable, variable.name != 'KERAS_BACKEND' || "
        "(has(variable.value) && variable.value == self.kerasBackend))",
        message=python.OTHER_BACKEND,
    ),
    Rule(
        at="spec",
        field="compile",
        rule=f"!self.compile || {_ON_TENSORFLOW}",
        message=python.COMPILE,
    ),
    Rule(
        at="spec",
        field="processesPerWorker",
        rule=f"!has(self.processesPerWorker) || self.processesPerWorker == 1 || !({_ON_TENSORFLOW})",
        message=python.ONE_PROCESS,
    ),
    Rule(
        at="spec",
        field="runtime",
        rule=f"self.runtime != 'Off' || self.workers == 1 || !({_ON_TENSORFLOW})",
        message=python.LAUNCHED,
    ),
    Rule(
        at="spec",
        field="runtime",
        rule="self.runtime != 'Off' || self.workers == 1 || self.framework != 'Horovod'",
        message=python.LAUNCHED_HOROVOD,
    ),
    Rule(
        at="spec",
        field="deadlines.stalled",
        rule="!has(self.deadlines.stalled) || self.runtime != 'Off'",
        message="needs the runtime, which sees the program's steps; leave it out, or leave out runtime: Off",
    ),
    Rule(
        at="spec",
        field="preprocessing",
        rule="!has(self.preprocessing) || self.runtime != 'Off'",
        message=WITHOUT_RUNTIME,
    ),
    Rule(
        at="spec.preprocessing.source.uri",
        rule="(self.startsWith('/') && self.size() > 1) || self.matches('^[a-z][a-z0-9+.-]*://.+$')",
        message="write an absolute path such as /data/train, or a URI such as s3://bucket/train",
    ),
    Rule(
        at="spec.preprocessing.source",
        field="mountPath",
        rule="!has(self.mountPath) || has(self.volume)",
        message="is where the sidecar sees source.volume, and there is none",
    ),
    Rule(
        at="spec.preprocessing.cacheSize",
        rule="isQuantity(self)",
        message="write a quantity, such as 20Gi",
    ),
    Rule(
        at="spec.preprocessing.bufferMemory",
        rule="isQuantity(self)",
        message="write a quantity, such as 512Mi",
    ),
    Rule(
        at="spec.gpuResource",
        rule="self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$')",
        message="an extended resource is called DOMAIN/NAME, such as nvidia.com/gpu",
    ),
    Rule(
        at="spec.source",
        rule="has(self.configMap) != has(self.inline)",
        message="give exactly one of configMap and inline",
    ),
    Rule(
        at="spec.source",
        field="inline",
        rule="!has(self.inline) || (self.inline.size() > 0 && "
        "self.inline.all(name, name.matches('^[A-Za-z0-9_][A-Za-z0-9._-]{0,252}$')))",
        message="needs at least one file; a file's name holds letters, digits, '.', '_' and '-', and no folder, such "
        "as train.py",
    ),
    Rule(
        at="spec.checkpoint",
        field="path",
        rule="self.path.matches('^/[^:]*[^/:][^:]*$') && !self.path.contains('/../') && !self.path.endsWith('/..')",
        message="write an absolute path without '..' and ':', such as /checkpoints",
    ),
    Rule(
        at="spec.checkpoint",
        field="path",
        rule=_FREE_PATHS.format(field="path"),
        message=f"{', '.join(reserved.RESERVED_PATHS)} belong to Regatta; choose another path, such as /checkpoints",
    ),
    Rule(
        at="spec.env[]",
        field="name",
        rule=_VARIABLES,
        message="this variable is computed for every process by Regatta; leave it out",
    ),
    Rule(
        at="spec.volumes[]",
        field="name",
        rule="self.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
        message="a volume's name holds lower-case letters, digits and '-', such as data",
    ),
    Rule(
        at="spec.volumes[]",
        field="name",
        rule=_VOLUME_NAMES,
        message="dshm (the shared memory, which podTemplate can change) and names that begin with regatta- belong to "
        "Regatta; choose another name",
    ),
    Rule(
        at="spec.volumeMounts[]",
        field="mountPath",
        rule="self.mountPath.startsWith('/') && !self.mountPath.contains(':')",
        message="write an absolute path, such as /data",
    ),
    Rule(
        at="spec.volumeMounts[]",
        field="mountPath",
        rule=_FREE_PATHS.format(field="mountPath"),
        message=f"{', '.join(reserved.RESERVED_PATHS)} belong to Regatta; choose another path, such as /data",
    ),
    Rule(
        at="spec.restart.rules[]",
        rule="(has(self.exitCodes) && self.exitCodes.size() > 0) || (has(self.causes) && self.causes.size() > 0)",
        message="a rule needs exitCodes, causes or both; without them it would match every failure",
    ),
)

_STARTED: Final = "has(oldSelf.status.attempt) && oldSelf.status.attempt > 0"
_ENDED: Final = "has(oldSelf.status.phase) && oldSelf.status.phase in ['Succeeded', 'Failed']"


def _immutable() -> Rule:
    """The one transition rule, at the root, because only there the status is in reach: an unstarted job is free.

    Nearly every update is one of the status, so the first question is whether the spec changed at all. The message
    names the first field that did.
    """
    fields = [str(field.alias) for field in TrainingJobSpec.model_fields.values() if field.alias not in EDITABLE]
    paths = [*fields, "restart.rules"]
    free = f"!has(oldSelf.status) || !(({_STARTED}) || ({_ENDED})) || self.spec == oldSelf.spec"
    same = " && ".join(f"({_same(path)})" for path in paths)
    culprit = "".join(f"!({_same(path)}) ? '{path}' : " for path in paths[:-1]) + f"'{paths[-1]}'"
    advice = "cannot change once the job has started or ended; delete the job and create it again"
    return Rule(
        at="",
        field="spec",
        rule=f"{free} || ({same})",
        message=advice,
        message_expression=f"'spec.' + ({culprit}) + ' {advice}'",
        reason="FieldValueForbidden",
    )


def _same(path: str) -> str:
    mine, before = f"self.spec.{path}", f"oldSelf.spec.{path}"
    return f"has({mine}) == has({before}) && (!has({mine}) || {mine} == {before})"
