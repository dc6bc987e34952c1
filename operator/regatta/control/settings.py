"""How one operator process is set up: flags, or environment variables of the same names.

`--parallel-writes` is REGATTA_OPERATOR_PARALLEL_WRITES; a flag wins.
"""

from __future__ import annotations

import argparse
import os
import re
import socket
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from regatta import __version__
from regatta.api.defaults import JobDefaults
from regatta.api.names import is_dns_label
from regatta.api.spec import Framework
from regatta.errors import ConfigurationError
from regatta.kube.informer import SILENCE_SECONDS
from regatta.plan.model import Fence, Installation
from regatta.telemetry.metrics import Price

__all__ = ["ENVIRONMENT_PREFIX", "Settings", "image_volumes", "installation", "parse", "serves"]

ENVIRONMENT_PREFIX: Final = "REGATTA_OPERATOR_"
_PRICE: Final = re.compile(r"([a-z0-9A-Z][a-z0-9A-Z._/-]{0,316})=([A-Z]{3}):(\d{1,9}(?:\.\d{1,9})?(?:e[+-]\d{1,2})?)")
INJECTIONS: Final = ("Auto", "ImageVolume", "InitContainer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything a person may decide about an operator process."""

    namespaces: tuple[str, ...] = ()
    """Namespaces to serve; empty for all."""
    runtime_image: str = f"regatta/runtime:{__version__}"
    operator_image: str = f"regatta/operator:{__version__}"
    feed_image: str = f"regatta/feed:{__version__}"
    framework_images: Mapping[str, str] = field(default_factory=dict)
    image_pull_policy: str = "IfNotPresent"
    injection: str = "Auto"
    job_defaults: JobDefaults = field(default_factory=JobDefaults)
    job_fence: bool = False
    """Whether each job gets a NetworkPolicy."""
    job_egress: bool = True
    """Whether that leaves pods free to reach what they want."""
    job_metrics_from: tuple[str, ...] = ()
    """Namespaces that it lets read metrics."""
    workers: int = 256
    parallel_writes: int = 64
    measured_writes: float = 20.0
    """Status writes a second, over all jobs, that only bring progress, efficiency and ledgers up to date."""
    prices: tuple[Price, ...] = ()
    """What resources cost, for the metric of that name."""
    host: str = ""
    """Address to serve health and metrics on; empty for all."""
    port: int = 8080
    leader_election: bool = True
    lease_name: str = "regatta"
    lease_namespace: str = ""
    """Empty for the operator's own namespace."""
    lease_seconds: int = 15
    renew_seconds: float = 10.0
    retry_seconds: float = 2.0
    identity: str = ""
    stop_seconds: float = 20.0
    """How long running reconciles may take to finish when the process is told to stop."""
    silence_seconds: float = SILENCE_SECONDS
    """After this long without a word a watch is taken up again; health and the audit of jobs go by it as well."""
    resync_seconds: float = 600.0
    kubeconfig: str | None = None
    context: str | None = None
    log_format: str = "json"
    log_level: str = "info"


def parse(arguments: Sequence[str], *, environment: Mapping[str, str] = os.environ) -> Settings:
    """Settings from a command line and an environment; exits with usage on a wrong flag."""
    parser = _parser()
    given = {
        name: environment[variable]
        for name in Settings.__dataclass_fields__
        if (variable := ENVIRONMENT_PREFIX + name.upper()) in environment
    }
    # argparse converts defaults that are text, and so checks what the environment says, too.
    parser.set_defaults(**given)
    values = vars(parser.parse_args(arguments))
    images = values["framework_images"]
    values["framework_images"] = images if isinstance(images, dict) else dict(images)
    values["identity"] = values["identity"] or identity(environment)
    values["lease_namespace"] = values["lease_namespace"] or environment.get("POD_NAMESPACE", "")
    return Settings(**values)


def identity(environment: Mapping[str, str]) -> str:
    """Who holds the lease: the pod's name, which one process at a time has; elsewhere a name used once."""
    return environment.get("POD_NAME") or f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="regatta-operator",
        description="Runs TrainingJobs.",
        epilog=f"Each flag can be given in the environment, too: --log-level as {ENVIRONMENT_PREFIX}LOG_LEVEL.",
        allow_abbrev=False,
    )

    def flag(name: str, text: str, **more: Any) -> None:
        more.setdefault("default", Settings.__dataclass_fields__[name].default)
        parser.add_argument("--" + name.replace("_", "-"), dest=name, help=text, **more)

    def choice(name: str, text: str, *choices: str) -> None:
        # argparse does not check defaults against `choices`, and what the environment says is a default.
        known = {one.lower(): one for one in choices}

        def checked(given: str) -> str:
            if given.lower() not in known:
                raise argparse.ArgumentTypeError(f"{given!r} is none of {', '.join(choices)}")
            return known[given.lower()]

        flag(name, text, type=checked, metavar="|".join(choices))

    flag("namespaces", "comma-separated namespaces to serve; all when empty", type=_names)
    flag("runtime_image", "image that holds the runtime's files")
    flag("operator_image", "image of the operator, used where the runtime is copied")
    flag("feed_image", "image of the sidecar that prepares data")
    flag(
        "framework_images",
        "default images by framework: PyTorch=IMAGE,Keras=IMAGE",
        type=_images,
        default={},
        metavar="FRAMEWORK=IMAGE,...",
    )
    flag(
        "job_defaults",
        "what holds for jobs that do not say otherwise, as JSON",
        type=_defaults,
        default=JobDefaults(),
        metavar="JSON",
    )
    flag("job_fence", "give each job a NetworkPolicy", type=_boolean, metavar="true|false")
    flag("job_egress", "which leaves its pods free to reach what they want", type=_boolean, metavar="true|false")
    flag("job_metrics_from", "comma-separated namespaces that it lets read metrics", type=_names)
    choice("image_pull_policy", "of the images above", "Always", "IfNotPresent", "Never")
    choice("injection", "how the runtime gets into a training container", *INJECTIONS)
    flag("workers", "jobs worked on at the same time", type=_positive)
    flag("parallel_writes", "creates and deletes in flight", type=_positive)
    flag("measured_writes", "status writes a second for nothing but measured numbers", type=_seconds)
    flag(
        "prices",
        "what one of a resource costs an hour: nvidia.com/gpu=EUR:2.5,...",
        type=_prices,
        metavar="RESOURCE=CURRENCY:NUMBER,...",
    )
    flag("host", "address of the health and metrics server; all when empty")
    flag("port", "port of the health and metrics server", type=int)
    flag("leader_election", "let one of several replicas act", type=_boolean, metavar="true|false")
    flag("lease_name", "name of the Lease")
    flag("lease_namespace", "namespace of the Lease; the operator's own when empty")
    flag("lease_seconds", "after this long without renewal a leader is replaced", type=_positive)
    flag("renew_seconds", "a leader that could not renew for so long stops", type=float)
    flag("retry_seconds", "time between tries to get or renew the lease", type=float)
    flag("identity", "unique name of this process; the pod's name when empty")
    flag("stop_seconds", "how long running work may take to finish at a stop", type=float)
    flag("silence_seconds", "after this long without a word a watch is taken up again", type=_seconds)
    flag("resync_seconds", "time between looks at jobs that nothing happens to", type=float)
    flag("kubeconfig", "kubeconfig to use instead of the service account")
    flag("context", "context of the kubeconfig")
    choice("log_format", "lines for machines or for people", "json", "text")
    choice("log_level", "least important lines to write", "debug", "info", "warning", "error")
    parser.add_argument("--version", action="version", version=__version__)
    return parser


def installation(
    settings: Settings, *, version: Mapping[str, Any], pod_groups: bool, namespace: str = ""
) -> Installation:
    """What jobs get from an operator with these settings, in a cluster of this version."""
    fence = None
    if settings.job_fence:
        fence = Fence(
            operator_namespace=settings.lease_namespace or namespace,
            metrics_from=settings.job_metrics_from,
            egress=settings.job_egress,
        )
    return Installation(
        runtime_image=settings.runtime_image,
        operator_image=settings.operator_image,
        feed_image=settings.feed_image,
        framework_images=settings.framework_images,
        image_pull_policy=settings.image_pull_policy,
        image_volumes=image_volumes(settings.injection, version),
        native_gang=pod_groups,
        defaults=settings.job_defaults,
        fence=fence,
    )


def _defaults(text: str) -> JobDefaults:
    try:
        return JobDefaults.from_json(text)
    except ConfigurationError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _names(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    for name in names:
        if not is_dns_label(name):  # kopf would take some of these for patterns
            raise argparse.ArgumentTypeError(f"{name!r} is not the name of a namespace")
    return names


def _images(text: str) -> dict[str, str]:
    images: dict[str, str] = {}
    known = {framework.value for framework in Framework}
    for part in filter(None, (part.strip() for part in text.split(","))):
        framework, separator, image = part.partition("=")
        if not separator or not image or framework not in known:
            raise argparse.ArgumentTypeError(f"{part!r} is not FRAMEWORK=IMAGE with one of {', '.join(sorted(known))}")
        images[framework] = image
    return images


def _prices(text: str) -> tuple[Price, ...]:
    prices = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        found = _PRICE.fullmatch(part)
        if found is None:
            raise argparse.ArgumentTypeError(f"{part!r} is not RESOURCE=CURRENCY:NUMBER, like nvidia.com/gpu=EUR:2.5")
        prices.append(Price(resource=found[1], currency=found[2], hourly=float(found[3])))
    if len({(price.resource, price.currency) for price in prices}) < len(prices):
        raise argparse.ArgumentTypeError("a resource has two prices in one currency")
    return tuple(prices)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError("must be a number of seconds above 0")
    return seconds


def _boolean(text: str) -> bool:
    try:
        return {"true": True, "false": False}[text.lower()]
    except KeyError:
        raise argparse.ArgumentTypeError("must be true or false") from None


def image_volumes(injection: str, version: Mapping[str, Any]) -> bool:
    """Whether the runtime comes as an image volume, given what the API server's /version says."""
    if injection != "Auto":
        return injection == "ImageVolume"
    try:
        major = int(str(version["major"]))
        minor = int("".join(character for character in str(version["minor"]) if character.isdigit()))
    except (KeyError, ValueError) as error:
        raise ConfigurationError(
            f"the API server's version can't be read ({version}); set --injection to ImageVolume or InitContainer"
        ) from error
    return (major, minor) >= (1, 35)


def serves(discovered: Mapping[str, Any], plural: str) -> bool:
    """Whether the API server serves a resource, given what it says at the path of its group and version."""
    return any(found.get("name") == plural for found in discovered.get("resources") or ())
