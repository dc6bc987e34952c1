"""A kubelet's words about an image that it cannot get, condensed to the image and the registry's own answer."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from regatta.api.spec import TrainingJobSpec
from regatta.plan.model import Installation
from regatta.plan.words import MAX_READ, one_line

__all__ = ["Pull", "pull"]

_IMAGE: Final = re.compile(r'(?:image|reference) "([^"\s]{1,512})"')
_WRAPPING: Final = re.compile(
    r'(?:Back-off pulling image "[^"]{0,512}":? ?'
    r"|Err\w{1,40}: |ImagePullBackOff: |RegistryUnavailable: |SignatureValidationFailed: "
    r"|rpc error: code = \w{1,40} desc = "
    r'|failed to (?:pull and unpack image|resolve reference|pull image) "[^"]{0,512}": '
    r"|failed to (?:resolve image|do request|copy|authorize): |httpReadSeeker: failed open: "
    r"|Error response from daemon: |initializing source \S{1,512}: "
    r"|(?:reading|fetching) manifest \S{1,512} in \S{1,512}: "
    r"|pinging container registry \S{1,512}: )"
)
_LAYERS: Final = 16
_SOCKET: Final = re.compile(r"(?:read|write) (?:udp|tcp) [\d.:\[\]a-f]{3,64}->[\d.:\[\]a-f]{3,64}: ")
"""Its port is another one in every try: told, it would change the status each time."""

_PULL_SECRET: Final = "give a pull secret in podTemplate.spec.imagePullSecrets"  # noqa: S105 - advice
_FIXES: Final = (
    (("too many requests", "toomanyrequests", " 429"), "wait: the registry limits pulls, and lets go by itself"),
    (
        ("authoriz", "authentic", "denied", "forbidden", " 401", " 403"),
        f"correct the name, or {_PULL_SECRET}",
    ),
    (("policy of never",), "load the image onto the node, or let it be pulled (imagePullPolicy)"),
    (("not found", "manifest unknown", "no such", "does not exist", " 404"), "correct the name or push the image"),
    (("x509", "certificate", "http response to https"), "let the nodes trust the registry's certificate"),
    (("no space left",), "free disk space on the node"),
    (("no match for platform", "exec format"), "build the image for the nodes' architecture"),
    (
        ("timeout", "timed out", "deadline exceeded", "refused", "unreachable", "lookup", "eof", "reset by peer"),
        "correct the registry's name, or let the nodes reach it",
    ),
)
"""What helps, by the first of these words in the registry's answer; names do not resolve as "no such host"."""
_ELSE: Final = "check the image's name and its pull secret"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pull:
    """Which image cannot be had, and why."""

    image: str
    answer: str
    fix: str

    @property
    def what(self) -> str:
        """Image and answer in words."""
        return f"cannot get image {self.image}: {self.answer}" if self.image else f"cannot get its image: {self.answer}"


def pull(reason: str, words: str, *, spec: TrainingJobSpec | None, installation: Installation | None) -> Pull:
    """Condense the waiting message of a container; `reason` stands in for an empty one."""
    text = " ".join(words[:MAX_READ].split())
    found = _IMAGE.search(text)
    image = found[1] if found is not None else ""
    for _ in range(_LAYERS):
        wrapping = _WRAPPING.match(text)
        if wrapping is None:
            break
        text = text[wrapping.end() :]
    if image:
        text = text.removeprefix(f"{image}: ")
    text = _SOCKET.sub("", text)
    return Pull(
        image=image,
        answer=one_line(text, limit=400) or reason,
        fix=_fix(text) + _whose(image, spec=spec, installation=installation),
    )


def _fix(answer: str) -> str:
    lowered = f" {answer.lower()}"
    if "no such host" in lowered:
        return "correct the registry's name, or let the nodes resolve it"
    return next((fix for words, fix in _FIXES if any(word in lowered for word in words)), _ELSE)


def _whose(image: str, *, spec: TrainingJobSpec | None, installation: Installation | None) -> str:
    """Where the image's name is written, as far as that is known."""
    if spec is not None and image and image == spec.image:
        return " (spec.image)"
    if spec is not None and spec.preprocessing is not None and image and image == spec.preprocessing.image:
        return " (spec.preprocessing.image)"
    of_all = {installation.runtime_image, installation.operator_image, installation.feed_image} if installation else {}
    if image and image in of_all:
        return " (an image of the installation: chart values)"
    if installation is not None and image and image in installation.framework_images.values():
        return " (the installation's default image: chart values, or name one in spec.image)"
    return ""
