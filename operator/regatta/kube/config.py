"""Where the API server is and how to be let in: the pod's service account, or a kubeconfig."""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from regatta.errors import ConfigurationError

__all__ = ["Connection", "Credentials", "FileToken", "NoToken", "load", "load_in_cluster", "load_kubeconfig"]

SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
REREAD_SECONDS: Final = 60.0
"""The kubelet renews the token file well before the token ends; reading it each minute never misses that."""


class Credentials(Protocol):
    """Gives the Authorization header; None where the client certificate is all there is."""

    async def header(self) -> str | None:
        """The header to send with a request that starts now."""

    def refused(self) -> None:
        """The server answered 401: ask the source again before the next request."""


class NoToken:
    """Credentials of a connection that is authenticated by its client certificate."""

    async def header(self) -> str | None:
        """Nothing to send."""
        return None

    def refused(self) -> None:
        """There is nothing to renew."""


class FileToken:
    """A bearer token in a file that somebody else renews."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._header: str | None = None
        self._read_at = 0.0

    async def header(self) -> str | None:
        """The token as the file had it at most a minute ago."""
        now = self._clock()
        if self._header is None or now - self._read_at >= REREAD_SECONDS:
            try:
                self._header = f"Bearer {self._path.read_text(encoding='ascii').strip()}"
            except OSError as error:
                if self._header is None:
                    raise ConfigurationError(f"can't read the service account token: {error}") from error
                # The kubelet swaps the file; the token we have is good for a while.
            self._read_at = now
        return self._header

    def refused(self) -> None:
        """Read the file again next time."""
        self._read_at = float("-inf")


class _LoaderToken:
    """A token that the kubernetes package's loader gives out and renews (exec plugins, OIDC, token files)."""

    def __init__(self, current: Callable[[], str | None]) -> None:
        self._current = current
        self._header: str | None = None
        self._read_at = float("-inf")
        self._lock = asyncio.Lock()

    async def header(self) -> str | None:
        async with self._lock:
            if time.monotonic() - self._read_at >= REREAD_SECONDS:
                # A plugin is a program that runs for seconds; the loop must not wait for it.
                self._header = await asyncio.to_thread(self._current)
                self._read_at = time.monotonic()
        return self._header

    def refused(self) -> None:
        self._read_at = float("-inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """One API server and the right to talk to it."""

    server: str
    """Base URL without a slash at its end."""
    ssl_context: ssl.SSLContext | None = None
    """None for plain HTTP."""
    credentials: Credentials = field(default_factory=NoToken)
    namespace: str = "default"
    """Where the operator itself lives, or the kubeconfig's context points to."""


def load(*, kubeconfig: str | None = None, context: str | None = None) -> Connection:
    """The kubeconfig when one is named here or in KUBECONFIG, else the pod's service account, else ~/.kube/config."""
    if kubeconfig is None and context is None and "KUBECONFIG" not in os.environ and in_cluster(os.environ):
        return load_in_cluster()
    return load_kubeconfig(path=kubeconfig, context=context)


def in_cluster(environment: Mapping[str, str]) -> bool:
    """Whether this process runs in a pod that may talk to its API server."""
    return bool(environment.get("KUBERNETES_SERVICE_HOST")) and (SERVICE_ACCOUNT / "token").exists()


def load_in_cluster(*, environment: Mapping[str, str] = os.environ, account: Path = SERVICE_ACCOUNT) -> Connection:
    """The connection every pod with a service account is given."""
    host = environment.get("KUBERNETES_SERVICE_HOST", "")
    port = environment.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise ConfigurationError("KUBERNETES_SERVICE_HOST is not set: this is no pod; name a kubeconfig")
    if ":" in host:
        host = f"[{host}]"
    namespace = "default"
    try:
        namespace = (account / "namespace").read_text(encoding="ascii").strip() or namespace
        context = ssl.create_default_context(cafile=str(account / "ca.crt"))
    except OSError as error:
        raise ConfigurationError(f"the service account is not mounted: {error}") from error
    return Connection(
        server=f"https://{host}:{port}",
        ssl_context=context,
        credentials=FileToken(account / "token"),
        namespace=namespace,
    )


def load_kubeconfig(*, path: str | None = None, context: str | None = None) -> Connection:
    """The connection a kubeconfig describes, read by the kubernetes package so that every login it knows works."""
    # Imported here: 60 MB that an operator inside a cluster never needs.
    from kubernetes import client
    from kubernetes import config as untyped

    config: Any = untyped
    loaded = client.Configuration()
    try:
        config.load_kube_config(config_file=path, context=context, client_configuration=loaded)
        contexts, active = config.list_kube_config_contexts(config_file=path)
    except (untyped.ConfigException, OSError) as error:
        raise ConfigurationError(f"the kubeconfig can't be used: {error}") from error
    ssl_context: ssl.SSLContext | None = None
    if loaded.host.startswith("https://"):
        ssl_context = ssl.create_default_context(cafile=loaded.ssl_ca_cert)
        if loaded.cert_file:
            ssl_context.load_cert_chain(loaded.cert_file, loaded.key_file)
        if not loaded.verify_ssl:
            ssl_context.check_hostname = False
            ssl_context.verify_mode = ssl.CERT_NONE
    credentials: Credentials = NoToken()
    if loaded.api_key or loaded.refresh_api_key_hook is not None:
        credentials = _LoaderToken(lambda: loaded.get_api_key_with_prefix("BearerToken", alias="authorization"))
    elif loaded.username and loaded.password:
        credentials = _LoaderToken(loaded.get_basic_auth_token)
    if context is not None:
        active = next((known for known in contexts if known["name"] == context), None)
    namespace = ((active or {}).get("context") or {}).get("namespace") or "default"
    return Connection(
        server=loaded.host.rstrip("/"), ssl_context=ssl_context, credentials=credentials, namespace=namespace
    )
