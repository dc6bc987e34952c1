"""The control plane's command lines: etcd, API server, controller manager, scheduler and the cluster's DNS."""

import socket
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import Final

from tests.cluster.tool import build, shell
from tests.cluster.tool.kubeapi import KubeApi
from tests.cluster.tool.paths import Paths
from tests.cluster.tool.pki import Authority
from tests.cluster.tool.processes import Component

DOMAIN: Final = "cluster.local"
# What gang scheduling by Kubernetes itself needs.
_GATES: Final = "--feature-gates=GenericWorkload=true"
NODE_GRACE: Final = 20.0
"""Seconds of silence after which a node is lost: fifty are usual, and tests wait for it. Fake nodes, too, say every ten
that they live."""
# A test that starts thousands of pods measures the operator, not these clients' own limits.
_HURRY: Final = ("--kube-api-qps=1000", "--kube-api-burst=2000")


AUDITED: Final = tuple(f"system:serviceaccount:regatta-system:{name}" for name in ("regatta", "confined"))
"""Whose requests the API server writes down: what a test compares with the rights that the chart gives."""
_AUDIT_POLICY: Final = f"""apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: Metadata
    users: [{", ".join(f'"{user}"' for user in AUDITED)}]
  - level: None
"""


def audit_log(paths: Paths) -> Path:
    """Return where the API server writes down what the operator's account asks of it, one JSON object a line."""
    return paths.logs / "audit.log"


def issue_certificates(paths: Paths) -> None:
    """Make the authority and every certificate and kubeconfig of the control plane."""
    authority = Authority(paths.pki, paths.addresses)
    authority.create()
    authority.issue_server()
    authority.issue("admin", subject="/O=system:masters/CN=admin")
    authority.issue("controllers", subject="/CN=system:kube-controller-manager")
    authority.issue("scheduler", subject="/CN=system:kube-scheduler")
    authority.issue("proxy", subject="/CN=system:kube-proxy")
    authority.kubeconfig("admin", paths.kubeconfig)
    for name in ("controllers", "scheduler", "proxy"):
        authority.kubeconfig(name, paths.pki / f"{name}.kubeconfig")


def etcd(paths: Paths) -> Component:
    """Return etcd; it doesn't wait for the disk, for nothing here outlives the machine."""
    clients, peers = _etcd(paths), f"http://127.0.0.1:{paths.addresses.port(12380)}"
    return Component(
        name="etcd",
        argv=(
            str(build.program(paths, "etcd")),
            f"--data-dir={paths.cluster / 'etcd'}",
            f"--listen-client-urls={clients}",
            f"--advertise-client-urls={clients}",
            f"--listen-peer-urls={peers}",
            f"--initial-advertise-peer-urls={peers}",
            f"--initial-cluster=default={peers}",
            f"--quota-backend-bytes={8 << 30}",
            "--unsafe-no-fsync",
            "--log-level=warn",
        ),
        ready=lambda: _answers(f"{clients}/health"),
    )


def api_server(paths: Paths) -> Component:
    """Return the API server, on the bridge's address alone."""
    pki, ours = paths.pki, paths.addresses
    policy = shell.write(paths.cluster / "audit-policy.yaml", _AUDIT_POLICY)
    return Component(
        name="kube-apiserver",
        argv=(
            str(build.program(paths, "kube-apiserver")),
            f"--etcd-servers={_etcd(paths)}",
            f"--bind-address={ours.host}",
            f"--advertise-address={ours.host}",
            "--secure-port=6443",
            f"--service-cluster-ip-range={ours.services}",
            f"--service-account-issuer=https://kubernetes.default.svc.{DOMAIN}",
            f"--service-account-key-file={pki / 'sa.pub'}",
            f"--service-account-signing-key-file={pki / 'sa.key'}",
            f"--tls-cert-file={pki / 'apiserver.crt'}",
            f"--tls-private-key-file={pki / 'apiserver.key'}",
            f"--client-ca-file={pki / 'ca.crt'}",
            f"--kubelet-client-certificate={pki / 'admin.crt'}",
            f"--kubelet-client-key={pki / 'admin.key'}",
            # Node names resolve nowhere; logs and exec go to the address.
            "--kubelet-preferred-address-types=InternalIP",
            "--authorization-mode=Node,RBAC",
            # The second is on in strict clusters: whoever makes an owner's deletion wait needs a right to do so.
            "--enable-admission-plugins=NodeRestriction,OwnerReferencesPermissionEnforcement",
            f"--audit-policy-file={policy}",
            f"--audit-log-path={audit_log(paths)}",
            # One file: what is turned over would be out of sight.
            "--audit-log-maxsize=10000",
            "--audit-log-mode=batch",
            "--audit-log-batch-max-wait=1s",
            "--allow-privileged=true",
            "--runtime-config=scheduling.k8s.io/v1beta1=true",
            _GATES,
        ),
        ready=KubeApi(paths).ready,
    )


def controller_manager(paths: Paths) -> Component:
    """Return the controller manager; pod ranges are given by the nodes' CNI files, so it hands out none."""
    pki, port = paths.pki, paths.addresses.port(10257)
    return Component(
        name="kube-controller-manager",
        argv=(
            str(build.program(paths, "kube-controller-manager")),
            f"--kubeconfig={pki / 'controllers.kubeconfig'}",
            f"--service-account-private-key-file={pki / 'sa.key'}",
            f"--root-ca-file={pki / 'ca.crt'}",
            f"--cluster-signing-cert-file={pki / 'ca.crt'}",
            f"--cluster-signing-key-file={pki / 'ca.key'}",
            f"--cluster-cidr={paths.addresses.pods}",
            "--use-service-account-credentials",
            "--controllers=*,-node-ipam-controller",
            "--bind-address=127.0.0.1",
            f"--secure-port={port}",
            "--leader-elect=false",
            "--node-monitor-period=2s",
            f"--node-monitor-grace-period={NODE_GRACE:.0f}s",
            *_HURRY,
            _GATES,
        ),
        ready=lambda: _answers(f"https://127.0.0.1:{port}/healthz"),
    )


def scheduler(paths: Paths) -> Component:
    """Return the scheduler."""
    port = paths.addresses.port(10259)
    return Component(
        name="kube-scheduler",
        argv=(
            str(build.program(paths, "kube-scheduler")),
            f"--kubeconfig={paths.pki / 'scheduler.kubeconfig'}",
            "--bind-address=127.0.0.1",
            f"--secure-port={port}",
            "--leader-elect=false",
            *_HURRY,
            _GATES,
        ),
        ready=lambda: _answers(f"https://127.0.0.1:{port}/healthz"),
    )


def dns(paths: Paths) -> Component:
    """Return CoreDNS on the bridge's address; what it answers is never cached, so a new pod is found at once."""
    corefile = shell.write(
        paths.cluster / "Corefile",
        f""".:53 {{
  bind {paths.addresses.host}
  errors
  kubernetes {DOMAIN} in-addr.arpa {{
    kubeconfig {paths.kubeconfig} regatta-test
    ttl 0
  }}
}}
""",
    )
    return Component(
        name="coredns",
        argv=(str(build.program(paths, "coredns")), "-conf", str(corefile)),
        ready=lambda: _resolves(paths.addresses.host),
    )


def _etcd(paths: Paths) -> str:
    """Return where etcd listens: not on its usual port, for the machine may run one of its own."""
    return f"http://127.0.0.1:{paths.addresses.port(12379)}"


def _answers(url: str) -> bool:
    """Tell whether a health address on this machine answers 200; certificates there are the program's own."""
    context = ssl._create_unverified_context() if url.startswith("https") else None
    try:
        with urllib.request.urlopen(url, timeout=2, context=context) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def _resolves(server: str) -> bool:
    """Tell whether DNS knows `kubernetes.default`, by a question in its own wire format."""
    labels = b"".join(
        bytes([len(label)]) + label.encode() for label in ("kubernetes", "default", "svc", *DOMAIN.split("."))
    )
    question = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + labels + b"\x00\x00\x01\x00\x01"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(1)
        try:
            asking.sendto(question, (server, 53))
            answer = asking.recv(512)
        except OSError:
            return False
    return answer[3] & 0x0F == 0 and answer[7] > 0
