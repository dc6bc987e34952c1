"""Every refusal of an API server becomes the error that says how to go on."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from regatta.control.apply import failure_kind
from regatta.kube import errors
from regatta.kube.errors import ApiError, error_from_response, error_from_status
from regatta.plan.model import FailureKind


def status(code: int, reason: str, message: str, **details: Any) -> bytes:
    return orjson.dumps(
        {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": reason,
            "details": details,
            "code": code,
        }
    )


QUOTA = 'pods "a-1-1" is forbidden: exceeded quota: small, requested: pods=1, used: pods=1, limited: pods=1'
UNSTATED = 'pods "a-1-1" is forbidden: failed quota: small: must specify limits.cpu for: trainer'
UNKNOWN = 'pods "a-1-1" is forbidden: status unknown for quota: small, resources: pods'
LIMIT = 'pods "a-1-1" is forbidden: maximum memory usage per Container is 1Gi, but limit is 2Gi'
SECURITY = 'pods "a-1-1" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false'
TERMINATING = 'pods "a-1-1" is forbidden: unable to create new content in namespace team because it is being terminated'


@pytest.mark.parametrize(
    ("body", "code", "error", "failure"),
    [
        pytest.param(
            status(403, "Forbidden", QUOTA), 403, errors.QuotaExceeded, FailureKind.QUOTA_EXCEEDED, id="quota"
        ),
        pytest.param(
            status(403, "Forbidden", UNSTATED),
            403,
            errors.QuotaExceeded,
            FailureKind.QUOTA_EXCEEDED,
            id="quota unstated",
        ),
        pytest.param(
            status(403, "Forbidden", UNKNOWN), 403, errors.QuotaExceeded, FailureKind.QUOTA_EXCEEDED, id="quota unknown"
        ),
        pytest.param(
            status(403, "Forbidden", LIMIT), 403, errors.QuotaExceeded, FailureKind.QUOTA_EXCEEDED, id="limit range"
        ),
        pytest.param(
            status(403, "Forbidden", SECURITY), 403, errors.Forbidden, FailureKind.FORBIDDEN, id="pod security"
        ),
        pytest.param(
            status(
                403,
                "Forbidden",
                TERMINATING,
                causes=[{"reason": "NamespaceTerminating", "field": "metadata.namespace"}],
            ),
            403,
            errors.NamespaceTerminating,
            FailureKind.NAMESPACE_GONE,
            id="namespace terminates",
        ),
        pytest.param(
            status(404, "NotFound", 'namespaces "team" not found'),
            404,
            errors.NotFound,
            FailureKind.NAMESPACE_GONE,
            id="namespace gone",
        ),
        pytest.param(
            status(409, "AlreadyExists", 'pods "a-1-1" already exists'),
            409,
            errors.AlreadyExists,
            FailureKind.NAME_TAKEN,
            id="name taken",
        ),
        pytest.param(
            status(409, "Conflict", "Operation cannot be fulfilled on resourcequotas"),
            409,
            errors.Conflict,
            FailureKind.UNAVAILABLE,
            id="conflict",
        ),
        pytest.param(status(410, "Expired", "too old"), 410, errors.Gone, FailureKind.INVALID, id="gone"),
        pytest.param(
            status(422, "Invalid", "spec.containers[0].image: Required value"),
            422,
            errors.Invalid,
            FailureKind.INVALID,
            id="invalid",
        ),
        pytest.param(
            status(400, "BadRequest", "cannot unmarshal"), 400, errors.Invalid, FailureKind.INVALID, id="bad request"
        ),
        pytest.param(
            status(429, "TooManyRequests", "slow down", retryAfterSeconds=7),
            429,
            errors.TooManyRequests,
            FailureKind.UNAVAILABLE,
            id="too many",
        ),
        pytest.param(
            status(500, "InternalError", "etcd"), 500, errors.Unavailable, FailureKind.UNAVAILABLE, id="internal"
        ),
        pytest.param(status(504, "Timeout", "slow"), 504, errors.Unavailable, FailureKind.UNAVAILABLE, id="timeout"),
        pytest.param(
            b"<html>Bad Gateway</html>", 502, errors.Unavailable, FailureKind.UNAVAILABLE, id="a proxy's page"
        ),
        pytest.param(b"", 503, errors.Unavailable, FailureKind.UNAVAILABLE, id="no body"),
        pytest.param(b"[1, 2]", 500, errors.Unavailable, FailureKind.UNAVAILABLE, id="other JSON"),
    ],
)
def test_a_refusal_becomes_its_error(body: bytes, code: int, error: type[ApiError], failure: FailureKind) -> None:
    read = error_from_response(code=code, body=body)
    assert type(read) is error
    assert read.code == code
    assert failure_kind(read) is failure


def test_the_servers_own_words_are_kept() -> None:
    assert str(error_from_response(code=403, body=status(403, "Forbidden", QUOTA))) == QUOTA


@pytest.mark.parametrize(
    ("header", "details", "seconds"),
    [
        ("3", {}, 3.0),
        (None, {"retryAfterSeconds": 7}, 7.0),
        ("3", {"retryAfterSeconds": 7}, 3.0),
        (None, {}, None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", {}, None),
    ],
    ids=["header", "details", "header wins", "neither", "a date"],
)
def test_the_pause_the_server_asks_for_is_read(
    header: str | None, details: dict[str, int], seconds: float | None
) -> None:
    body = status(429, "TooManyRequests", "slow down", **details)
    assert error_from_response(code=429, body=body, retry_after=header).retry_after == seconds


@pytest.mark.parametrize("reason", ["Expired", "Gone"])
def test_an_error_event_of_a_watch_that_is_too_old_means_gone(reason: str) -> None:
    assert isinstance(error_from_status({"kind": "Status", "code": 410, "reason": reason}), errors.Gone)


def test_a_status_without_anything_is_still_an_error() -> None:
    assert isinstance(error_from_status({}), errors.Unavailable)
