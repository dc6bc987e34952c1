"""HTTP messages without any I/O: bytes in, requests and responses out, limits on everything.

Small on purpose: content of a stated length only, no chunks, no trailers. What does not fit is `MalformedError`.
"""

from __future__ import annotations

from typing import Dict, List, NamedTuple, Optional, Tuple

HEAD_LIMIT = 8 * 1024
BODY_LIMIT = 256 * 1024

REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    413: "Content Too Large",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
    507: "Insufficient Storage",
}


class MalformedError(Exception):
    """What arrived is not a message that can be served; `status` says so in HTTP's terms."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Message(NamedTuple):
    """One request or response: the three words of its first line, lower-cased header names, the content."""

    start: Tuple[str, str, str]
    headers: Dict[str, str]
    body: bytes

    @property
    def last(self) -> bool:
        """Whether the sender wants the connection closed after it."""
        version = self.start[0] if self.start[0].startswith("HTTP/") else self.start[2]
        wish = self.headers.get("connection", "").lower()
        return "close" in wish or (version == "HTTP/1.0" and "keep-alive" not in wish)


class Reader:
    """Collects bytes as they come and gives out the messages they complete."""

    def __init__(self, *, head_limit: int = HEAD_LIMIT, body_limit: int = BODY_LIMIT) -> None:
        self._head_limit = head_limit
        self._body_limit = body_limit
        self._buffer = bytearray()
        self._head: Optional[Tuple[Tuple[str, str, str], Dict[str, str]]] = None
        self._missing = 0

    @property
    def busy(self) -> bool:
        """Whether a message has begun and is not complete."""
        return bool(self._buffer) or self._head is not None

    def feed(self, data: bytes) -> List[Message]:
        """The messages completed by `data`; raises `MalformedError` and must not be fed again after that."""
        self._buffer += data
        messages: List[Message] = []
        while True:
            if self._head is None:
                end = self._buffer.find(b"\r\n\r\n", 0, self._head_limit)
                if end < 0:
                    if len(self._buffer) >= self._head_limit:
                        raise MalformedError(431, "the header is too long")
                    return messages
                self._head = _parse_head(bytes(self._buffer[:end]))
                self._missing = self._content_length(self._head[1])
                del self._buffer[: end + 4]
            if len(self._buffer) < self._missing:
                return messages
            start, headers = self._head
            messages.append(Message(start, headers, bytes(self._buffer[: self._missing])))
            del self._buffer[: self._missing]
            self._head = None

    def _content_length(self, headers: Dict[str, str]) -> int:
        if "transfer-encoding" in headers:
            raise MalformedError(501, "content must come with a Content-Length")
        text = headers.get("content-length", "0")
        if not (text.isascii() and text.isdigit()) or len(text) > 12:
            raise MalformedError(400, "Content-Length is not a number")
        if int(text) > self._body_limit:
            raise MalformedError(413, f"content is limited to {self._body_limit} bytes")
        return int(text)


def _parse_head(head: bytes) -> Tuple[Tuple[str, str, str], Dict[str, str]]:
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split(" ", 2)
    if len(words) != 3 or not (words[0].startswith("HTTP/1.") or words[2].startswith("HTTP/1.")):
        raise MalformedError(400, "not HTTP/1.x")
    headers: Dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        name = name.lower()
        if not colon or not name or name != name.strip():
            raise MalformedError(400, "a header line is not 'name: value'")
        if name == "content-length" and headers.get(name, value.strip()) != value.strip():
            raise MalformedError(400, "two different lengths")
        headers[name] = value.strip()
    return (words[0], words[1], words[2]), headers


def request(method: str, path: str, *, headers: Dict[str, str], body: bytes = b"") -> bytes:
    """A request as bytes; it keeps the connection open."""
    lines = [f"{method} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items()), f"Content-Length: {len(body)}"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


def response(
    status: int, body: bytes = b"", *, content_type: str = "application/octet-stream", last: bool = False
) -> bytes:
    """A response as bytes."""
    head = (
        f"HTTP/1.1 {status} {REASONS.get(status, 'Unknown')}\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: {'close' if last else 'keep-alive'}\r\n\r\n"
    )
    return head.encode("latin-1") + body
