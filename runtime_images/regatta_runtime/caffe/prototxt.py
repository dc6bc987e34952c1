"""Protobuf's text format, in which a Caffe network is defined: messages of named values, in the order they stand.

Knows nothing of Caffe: which fields there are is for the reader of the message to say. Nested messages are kept on a
list, so that no file makes this recurse.
"""

from __future__ import annotations

import re
from typing import Dict, Iterator, List, NamedTuple, Optional, Tuple, Union

from regatta_runtime.caffe.errors import DamagedFileError, DefinitionError

MAX_BYTES = 2 << 20  # the largest published networks take a quarter of it
MAX_DEPTH = 50
WHOLE = 2**31

_TOKEN = re.compile(
    r"(?P<space>[ \t\r\n\f\v]+|\#[^\n]*)"
    r"|(?P<word>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<number>[+-]?(?:0[xX][0-9A-Fa-f]+|(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)[fF]?)"
    r"|(?P<text>\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*')"
    r"|(?P<sign>[{}<>:;,\[\]-])"
)
_ESCAPE = re.compile(r"\\(x[0-9A-Fa-f]{1,2}|[0-7]{1,3}|.)", re.DOTALL)
_WHOLE_NUMBER = re.compile(r"[+-]?(0[xX][0-9A-Fa-f]{1,16}|[0-9]{1,20})\Z")
_FLAGS = {"true": True, "t": True, "True": True, "1": True, "false": False, "f": False, "False": False, "0": False}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}


class Token(NamedTuple):
    """A piece of the text, and the line in which it stands."""

    kind: str
    text: str
    line: int


class Message:
    """Fields of one message; each getter checks what it returns and names the line otherwise."""

    def __init__(self, line: int = 1) -> None:
        self.line = line
        self.fields: Dict[str, List[Union[Token, Message]]] = {}

    def __contains__(self, name: str) -> bool:
        return name in self.fields

    def only(self, *names: str) -> Optional[str]:
        """The first field that is none of these, if there is one."""
        return next((name for name in self.fields if name not in names), None)

    def messages(self, name: str) -> List[Message]:
        """All messages of a field."""
        found = []
        for each in self.fields.get(name, []):
            if not isinstance(each, Message):
                raise _wrong(each, name, "a message, { }")
            found.append(each)
        return found

    def message(self, name: str) -> Message:
        """The message of a field that stands once; where it stands more often, all of them together; empty if never."""
        found = self.messages(name)
        whole = Message(found[0].line if found else self.line)
        for each in found:
            for field, values in each.fields.items():
                whole.fields.setdefault(field, []).extend(values)
        return whole

    def texts(self, name: str) -> List[str]:
        """All strings of a field."""
        return [_unquoted(each) for each in self._tokens(name, "text", "a string in quotes")]

    def text(self, name: str, default: str = "") -> str:
        """The string of a field; the last one counts, as everywhere in protobuf."""
        return ([default, *self.texts(name)])[-1]

    def word(self, name: str, default: str) -> str:
        """The word of an enumeration."""
        return ([default, *(each.text for each in self._tokens(name, "word", "a word without quotes"))])[-1]

    def flag(self, name: str, default: bool) -> bool:
        """True or false."""
        found = [default]
        for each in self._tokens(name):
            if each.text not in _FLAGS:
                raise _wrong(each, name, "true or false")
            found.append(_FLAGS[each.text])
        return found[-1]

    def wholes(self, name: str, low: int = 0, high: int = WHOLE) -> List[int]:
        """All numbers of a field, each a whole one from low to high."""
        found = []
        for each in self._tokens(name):
            if not _WHOLE_NUMBER.match(each.text):
                raise _wrong(each, name, "a whole number")
            value = int(each.text, 16 if "x" in each.text.lower() else 10)
            if not low <= value <= high:
                raise _wrong(each, name, f"from {low} to {high}")
            found.append(value)
        return found

    def whole(self, name: str, default: int, low: int = 0, high: int = WHOLE) -> int:
        """A whole number from low to high."""
        return ([default, *self.wholes(name, low, high)])[-1]

    def numbers(self, name: str) -> List[float]:
        """All numbers of a field."""
        found = []
        for each in self._tokens(name):
            try:
                found.append(float(each.text.rstrip("fF") if each.kind == "number" else each.text))
            except ValueError:
                raise _wrong(each, name, "a number") from None
        return found

    def number(self, name: str, default: float) -> float:
        """A number."""
        return ([default, *self.numbers(name)])[-1]

    def _tokens(self, name: str, kind: str = "", wanted: str = "a value") -> List[Token]:
        found = []
        for each in self.fields.get(name, []):
            if isinstance(each, Message) or (kind and each.kind != kind):
                raise _wrong(each, name, wanted)
            found.append(each)
        return found


def read(path: str) -> Message:
    """The message in a file. What is wrong with it is told with its line."""
    with open(path, "rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise DamagedFileError(f"{path}: it is larger than {MAX_BYTES >> 20} MiB; is it a .prototxt?")
    try:
        return parse(content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise DamagedFileError(f"{path}: it is not text; the definition (.prototxt) comes first") from None
    except DamagedFileError as problem:
        raise DamagedFileError(f"{path}: {problem}") from None


def parse(text: str) -> Message:
    """The message in a text."""
    tokens = list(_tokens(text))
    end = Token("end", "the end of the file", text.count("\n") + 1)
    open_messages: List[Tuple[Message, str]] = [(Message(), "")]
    at = 0

    def peek() -> Token:
        return tokens[at] if at < len(tokens) else end

    while at < len(tokens):
        message, closing = open_messages[-1]
        token = peek()
        at += 1
        if token.text in (",", ";"):
            continue
        if closing and token.text == closing:
            open_messages.pop()
            continue
        if token.kind != "word":
            raise DamagedFileError(f"line {token.line}: a field's name was expected, not {token.text[:40]!r}")
        values = message.fields.setdefault(token.text, [])
        colon = peek().text == ":"
        at += colon
        begin = peek()
        if begin.text in ("{", "<"):
            at += 1
            inner = Message(begin.line)
            values.append(inner)
            if len(open_messages) > MAX_DEPTH:
                raise DamagedFileError(f"line {begin.line}: messages are nested more than {MAX_DEPTH} times")
            open_messages.append((inner, "}" if begin.text == "{" else ">"))
        elif not colon:
            raise DamagedFileError(
                f"line {begin.line}: ':' or '{{' must follow {token.text!r}, not {begin.text[:40]!r}"
            )
        elif begin.text == "[":
            at += 1
            while peek().text != "]":
                value, at = _scalar(tokens, at, end)
                values.append(value)
                if peek().text == ",":
                    at += 1
                elif peek().text != "]":
                    raise DamagedFileError(f"line {peek().line}: ',' or ']' was expected, not {peek().text[:40]!r}")
            at += 1
        else:
            value, at = _scalar(tokens, at, end)
            values.append(value)
    if len(open_messages) > 1:
        raise DamagedFileError(
            f"the message of line {open_messages[-1][0].line} is never closed; is the file cut short?"
        )
    return open_messages[0][0]


def _scalar(tokens: List[Token], at: int, end: Token) -> Tuple[Token, int]:
    """The value at a place, and the place after it."""
    token = tokens[at] if at < len(tokens) else end
    if token.text == "-" and at + 1 < len(tokens) and tokens[at + 1].kind in ("number", "word"):
        following = tokens[at + 1]
        return Token(following.kind, "-" + following.text, token.line), at + 2
    if token.kind not in ("word", "number", "text"):
        raise DamagedFileError(f"line {token.line}: a value was expected, not {token.text[:40]!r}")
    at += 1
    if token.kind == "text":
        pieces = [_unquoted(token)]
        while at < len(tokens) and tokens[at].kind == "text":
            pieces.append(_unquoted(tokens[at]))
            at += 1
        # Quotes around it again: a string is told from a word by its kind, and unquoted when it is asked for.
        token = Token("text", '"' + "".join(pieces).replace("\\", "\\\\") + '"', token.line)
    return token, at


def _tokens(text: str) -> Iterator[Token]:
    at, line = 0, 1
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise DamagedFileError(f"line {line}: {text[at : at + 20]!r} is no part of a .prototxt")
        kind = found.lastgroup or ""
        if kind != "space":
            yield Token(kind, found.group(), line)
        line += found.group().count("\n")
        at = found.end()


def _unquoted(token: Token) -> str:
    def meaning(found: "re.Match[str]") -> str:
        code = found.group(1)
        if code[0] == "x" and len(code) > 1:
            return chr(int(code[1:], 16))
        return chr(int(code, 8) & 0xFF) if code[0] in "01234567" else _ESCAPES.get(code, code)

    return _ESCAPE.sub(meaning, token.text[1:-1])


def _wrong(value: Union[Token, Message], name: str, wanted: str) -> DefinitionError:
    shown = "{ }" if isinstance(value, Message) else value.text[:40]
    return DefinitionError(f"line {value.line}: {name} is {shown!r} and must be {wanted}")
