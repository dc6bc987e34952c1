"""What can go wrong between us and the API server, one class per way of going on.

ApiError                   base; carries code, reason, message and causes of the server's Status
  NotFound                 404: the object, or the namespace it should be created in, is not there
  AlreadyExists            409: the name is taken
  Conflict                 409: the object changed since it was read, or a precondition does not hold
  Gone                     410: the resource version is too old to go on from; list again
  Unauthorized             401: the credentials are not accepted (any more)
  Forbidden                403: RBAC or admission says no
    QuotaExceeded            ... because a ResourceQuota or a LimitRange is in the way
    NamespaceTerminating     ... because the namespace is being deleted
  Invalid                  400, 405, 413, 415, 422: the request itself is wrong; repeating it cannot help
  TooManyRequests          429: come back after `retry_after` seconds
  Unavailable              5xx, or no answer at all: nobody knows whether the request took effect
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

import orjson

from regatta.errors import RegattaError

__all__ = [
    "AlreadyExists",
    "ApiError",
    "Conflict",
    "Forbidden",
    "Gone",
    "Invalid",
    "NamespaceTerminating",
    "NotFound",
    "NotLeading",
    "QuotaExceeded",
    "TooManyRequests",
    "Unauthorized",
    "Unavailable",
    "error_from_response",
    "error_from_status",
]

_MAX_TEXT: Final = 2048
"""An answer that is not a Status (a proxy's page, say) is quoted up to this many characters."""

# The API server has no reason of its own for these: ResourceQuota and LimitRange are told by their wording.
_QUOTA: Final = re.compile(
    r"exceeded quota:|failed quota:|status unknown for quota:|insufficient quota to"
    r"|(?:minimum|maximum) \S+ usage per (?:Pod|Container|PersistentVolumeClaim)"
    r"|\S+ max limit to request ratio per (?:Pod|Container)"
)


class ApiError(RegattaError):
    """The API server refused a request, or did not answer it."""

    def __init__(
        self,
        message: str,
        *,
        code: int = 0,
        reason: str = "",
        causes: tuple[str, ...] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        """HTTP status; 0 when there was no answer."""
        self.reason = reason
        self.causes = causes
        """Reasons of the Status' causes."""
        self.retry_after = retry_after
        """Seconds the server asks us to wait, None when it does not say."""


class NotLeading(RegattaError):  # noqa: N818 - a state, not a mistake
    """A write was held back because another replica may lead by now."""


class NotFound(ApiError):  # noqa: N818 - named as Kubernetes names the reason
    """404."""


class AlreadyExists(ApiError):  # noqa: N818
    """409 on create: an object of that name is there."""


class Conflict(ApiError):  # noqa: N818
    """409: the object changed since it was read, or a precondition does not hold."""


class Gone(ApiError):  # noqa: N818
    """410: the resource version, or the continue token, is too old."""


class Unauthorized(ApiError):  # noqa: N818
    """401."""


class Forbidden(ApiError):  # noqa: N818
    """403."""


class QuotaExceeded(Forbidden):
    """403 because of a ResourceQuota or a LimitRange."""


class NamespaceTerminating(Forbidden):
    """403 because the namespace is being deleted."""


class Invalid(ApiError):  # noqa: N818
    """The request itself is wrong."""


class TooManyRequests(ApiError):  # noqa: N818
    """429."""


class Unavailable(ApiError):  # noqa: N818
    """5xx, a timeout, or no connection."""


def error_from_response(*, code: int, body: bytes, retry_after: str | None = None) -> ApiError:
    """The error that an HTTP answer of 400 and above means; never fails, whatever the body is."""
    status: Any = None
    with suppress(orjson.JSONDecodeError):
        status = orjson.loads(body)
    seconds = _seconds(retry_after)
    if isinstance(status, Mapping) and status.get("kind") == "Status":
        return error_from_status(status, code=code, retry_after=seconds)
    text = body[:_MAX_TEXT].decode(errors="replace").strip() or f"HTTP {code}"
    return _classify(text, code=code, reason="", causes=(), retry_after=seconds)


def error_from_status(
    status: Mapping[str, Any], *, code: int | None = None, retry_after: float | None = None
) -> ApiError:
    """The error that a metav1.Status means: the body of a refusal, or the object of a watch's ERROR event."""
    told = status.get("code")
    code = code if code is not None else told if isinstance(told, int) else 0
    details = status.get("details")
    details = details if isinstance(details, Mapping) else {}
    raw_causes = details.get("causes")
    causes = tuple(
        str(cause.get("reason", ""))
        for cause in (raw_causes if isinstance(raw_causes, list) else [])
        if isinstance(cause, Mapping)
    )
    if retry_after is None:
        asked = details.get("retryAfterSeconds")
        retry_after = float(asked) if isinstance(asked, int) and asked > 0 else None
    reason = str(status.get("reason") or "")
    message = str(status.get("message") or reason or f"HTTP {code}")
    return _classify(message, code=code, reason=reason, causes=causes, retry_after=retry_after)


def _classify(message: str, *, code: int, reason: str, causes: tuple[str, ...], retry_after: float | None) -> ApiError:
    kind: type[ApiError]
    match code:
        case 401:
            kind = Unauthorized
        case 403 if "NamespaceTerminating" in causes:
            kind = NamespaceTerminating
        case 403 if _QUOTA.search(message):
            kind = QuotaExceeded
        case 403:
            kind = Forbidden
        case 404:
            kind = NotFound
        case 409:
            kind = AlreadyExists if reason == "AlreadyExists" else Conflict
        case 410:
            kind = Gone
        case 429:
            kind = TooManyRequests
        case 408:
            kind = Unavailable
        case _ if 400 <= code < 500:
            kind = Invalid
        case _:
            kind = Unavailable
    # A watch's ERROR event may carry reason Expired with a code of its own; the reason is what counts.
    if reason in {"Expired", "Gone"}:
        kind = Gone
    return kind(message, code=code, reason=reason, causes=causes, retry_after=retry_after)


def _seconds(header: str | None) -> float | None:
    """Retry-After in seconds; a date, which the API server never sends, counts as absent."""
    if header is None or not header.strip().isdigit():
        return None
    return float(header)
