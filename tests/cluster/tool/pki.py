"""Certificates, keys and kubeconfigs: one authority for each cluster."""

import base64
import json
import secrets
from pathlib import Path
from typing import Final

from tests.cluster.tool import shell
from tests.cluster.tool.addresses import Addresses

DAYS: Final = "365"

# The identifiers are what OpenSSL's strict mode asks for, which Python 3.13 turned on.
_AUTHORITY: Final = """[req]
distinguished_name = name
x509_extensions = authority
prompt = no
[name]
CN = regatta-test-cluster
[authority]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign,digitalSignature
subjectKeyIdentifier = hash
"""
_LEAF: Final = """basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = serverAuth,clientAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""


class Authority:
    """The cluster's certificate authority, in a folder that holds everything it signs."""

    def __init__(self, folder: Path, ours: Addresses) -> None:
        self.folder = folder
        self._ours = ours

    @property
    def certificate(self) -> Path:
        """The authority's own certificate."""
        return self.folder / "ca.crt"

    def create(self) -> None:
        """Make the authority and the key pair that signs service account tokens; keep those that are there."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self.certificate.exists():
            self._key("ca")
            (self.folder / "ca.cnf").write_text(_AUTHORITY)
            self._openssl(
                *("req", "-x509", "-new", "-config", "ca.cnf", "-key", "ca.key", "-days", DAYS, "-out", "ca.crt"),
            )
        if not (self.folder / "sa.pub").exists():
            self._key("sa")
            self._openssl("pkey", "-in", "sa.key", "-pubout", "-out", "sa.pub")

    def issue(self, name: str, *, subject: str, alternatives: str = "") -> None:
        """Sign a certificate for client and server use, unless it is there already."""
        if (self.folder / f"{name}.crt").exists():
            return
        self._key(name)
        names = f"subjectAltName={alternatives}\n" if alternatives else ""
        (self.folder / f"{name}.ext").write_text(_LEAF + names)
        self._openssl("req", "-new", "-key", f"{name}.key", "-subj", subject, "-out", f"{name}.csr")
        # A random one: the file in which openssl counts breaks when two nodes get theirs at once.
        serial = f"0x{secrets.token_hex(16)}"
        self._openssl(
            *("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-set_serial", serial),
            *("-days", DAYS, "-extfile", f"{name}.ext", "-out", f"{name}.crt"),
        )

    def issue_server(self) -> None:
        """Sign the API server's certificate, for every name and address it is called by."""
        names = ["localhost", "kubernetes"]
        names += [f"kubernetes.{suffix}" for suffix in ("default", "default.svc", "default.svc.cluster.local")]
        addresses = ["127.0.0.1", self._ours.host, self._ours.service_api]
        alternatives = ",".join([f"DNS:{name}" for name in names] + [f"IP:{address}" for address in addresses])
        self.issue("apiserver", subject="/CN=kube-apiserver", alternatives=alternatives)

    def kubeconfig(self, name: str, path: Path) -> Path:
        """Write a kubeconfig for one of the certificates, everything it needs inside it."""
        cluster = {
            "server": self._ours.api_server,
            "certificate-authority-data": self._base64("ca.crt"),
        }
        user = {
            "client-certificate-data": self._base64(f"{name}.crt"),
            "client-key-data": self._base64(f"{name}.key"),
        }
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "regatta-test", "cluster": cluster}],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": "regatta-test", "context": {"cluster": "regatta-test", "user": name}}],
            "current-context": "regatta-test",
        }
        # JSON is YAML; no library is needed to write it.
        path.touch(mode=0o600)
        path.write_text(json.dumps(config, indent=1) + "\n")
        return path

    def _key(self, name: str) -> None:
        self._openssl("ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", f"{name}.key")
        (self.folder / f"{name}.key").chmod(0o600)

    def _openssl(self, *arguments: str) -> None:
        shell.run(["openssl", *arguments], cwd=self.folder)

    def _base64(self, file: str) -> str:
        return base64.b64encode((self.folder / file).read_bytes()).decode()
