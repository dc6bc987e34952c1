"""What all models of the API share: camelCase on the wire, frozen in memory, times without fractions in UTC."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, PlainSerializer, model_validator
from pydantic.alias_generators import to_camel

__all__ = ["SpecModel", "StatusModel", "Time", "format_time", "map_by"]


def format_time(moment: datetime) -> str:
    """A moment as Kubernetes writes it: 2026-01-02T03:04:05Z."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _to_seconds(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(microsecond=0)


Time = Annotated[AwareDatetime, AfterValidator(_to_seconds), PlainSerializer(format_time, return_type=str)]
"""A moment in UTC, cut to whole seconds as metav1.Time is, so that a value equals itself after a round trip."""


def map_by(key: str) -> dict[str, Any]:
    """A list whose elements are told apart by one of their fields, for server-side apply and against doubles."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}


class SpecModel(BaseModel):
    """Base of what a user writes: an unknown field is a typo and an error."""

    model_config = ConfigDict(
        alias_generator=to_camel, validate_by_name=True, validate_by_alias=True, frozen=True, extra="forbid"
    )

    @model_validator(mode="before")
    @classmethod
    def _empty_is_absent(cls, raw: Any) -> Any:
        """A key without a value (`env:` in YAML) means the default, unless null is a value of its own there."""
        if not isinstance(raw, dict):
            return raw
        nullable = {field.alias for field in cls.model_fields.values() if type(None) in get_args(field.annotation)}
        return {key: value for key, value in raw.items() if value is not None or key in nullable}

    def to_api(self) -> dict[str, Any]:
        """The object as it would stand in YAML; what was left out stays out."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)


class StatusModel(BaseModel):
    """Base of what the operator writes: fields of a newer or older operator are ignored."""

    model_config = ConfigDict(
        alias_generator=to_camel, validate_by_name=True, validate_by_alias=True, frozen=True, extra="ignore"
    )
