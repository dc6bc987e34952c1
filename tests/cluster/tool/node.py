"""One node: containerd, kubelet and kube-proxy in a network namespace and a control group of their own."""

import json
from pathlib import Path
from typing import Final

from tests.cluster.tool import build, cgroups, network, shell
from tests.cluster.tool.addresses import Addresses
from tests.cluster.tool.controlplane import DOMAIN
from tests.cluster.tool.kubeapi import KubeApi, is_ready
from tests.cluster.tool.paths import Paths
from tests.cluster.tool.pki import Authority
from tests.cluster.tool.processes import Component

PAUSE: Final = "localhost/regatta/pause:1"
"""The image that holds a pod's namespaces: our own, there is no registry to pull the usual one from."""


def name(index: int) -> str:
    """Return the name of node number `index`, counted from one."""
    return f"node{index}"


def prepare(paths: Paths, index: int, *, others: list[int]) -> None:
    """Make everything of a node that is not a process; what is there already stays."""
    node, folder, ours = name(index), paths.node(name(index)), paths.addresses
    for part in ("cni", "kubelet", "state", "podlogs"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    network.ensure_node(ours, index, name=node, others=others)
    group = cgroups.ensure(ours, node)
    authority = Authority(paths.pki, ours)
    authority.issue(
        node, subject=f"/O=system:nodes/CN=system:node:{node}", alternatives=f"IP:{ours.node(index)},DNS:{node}"
    )
    authority.kubeconfig(node, folder / "kubeconfig")
    shell.write(folder / "cni" / "10-pods.conflist", _cni(ours, folder=folder, index=index))
    shell.write(folder / "containerd.toml", _containerd(folder))
    shell.write(folder / "kubelet.json", _kubelet(paths, folder=folder, node=node, group=group))
    shell.write(folder / "proxy.json", _proxy(paths, node=node))


def containerd(paths: Paths, index: int) -> Component:
    """Return a node's container runtime."""
    node = name(index)
    program = build.program(paths, "containerd")
    # containerd finds its shim on PATH.
    shim = build.program(paths, "containerd-shim-runc-v2").parent
    path = f"PATH={shim}:/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"
    return Component(
        name=f"containerd-{node}",
        argv=(
            *network.enter(paths.addresses, node),
            "env",
            path,
            str(program),
            "--config",
            str(paths.node(node) / "containerd.toml"),
        ),
        ready=lambda: shell.succeeds([*ctr(paths, node), "version"]),
    )


def kubelet(paths: Paths, index: int) -> Component:
    """Return a node's kubelet, started when the API server knows the node as ready."""
    node, folder = name(index), paths.node(name(index))
    api = KubeApi(paths)
    return Component(
        name=f"kubelet-{node}",
        argv=(
            *network.enter(paths.addresses, node),
            str(build.program(paths, "kubelet")),
            f"--config={folder / 'kubelet.json'}",
            f"--kubeconfig={folder / 'kubeconfig'}",
            f"--root-dir={folder / 'kubelet'}",
            f"--cert-dir={folder / 'kubelet' / 'pki'}",
            f"--hostname-override={node}",
            f"--node-ip={paths.addresses.node(index)}",
        ),
        ready=lambda: any(found["metadata"]["name"] == node and is_ready(found) for found in api.nodes()),
    )


def kube_proxy(paths: Paths, index: int) -> Component:
    """Return a node's kube-proxy."""
    node = name(index)
    return Component(
        name=f"kube-proxy-{node}",
        argv=(
            *network.enter(paths.addresses, node),
            str(build.program(paths, "kube-proxy")),
            f"--config={paths.node(node) / 'proxy.json'}",
        ),
    )


def ctr(paths: Paths, node: str) -> list[str]:
    """Return the start of a ctr command line for a node's images and containers."""
    socket = paths.node(node) / "containerd.sock"
    return [str(build.program(paths, "ctr")), "--address", str(socket), "--namespace", "k8s.io"]


def _cni(ours: Addresses, *, folder: Path, index: int) -> str:
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "ipMasq": False,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": ours.pod_range(index)}]],
            "routes": [{"dst": "0.0.0.0/0"}],
            "dataDir": str(folder / "cni-ipam"),
        },
    }
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    return json.dumps({"cniVersion": "1.0.0", "name": ours.cni_network, "plugins": [bridge, ports]}, indent=1)


def _containerd(folder: Path) -> str:
    return f"""version = 3
root = "{folder / "containerd"}"
state = "{folder / "state"}"
[grpc]
  address = "{folder / "containerd.sock"}"
[ttrpc]
  address = "{folder / "containerd.sock.ttrpc"}"
[plugins.'io.containerd.nri.v1.nri']
  # Its socket has one name on the whole machine, and of two nodes that start at once one would end over it.
  disable = true
[plugins.'io.containerd.cri.v1.images']
  snapshotter = "overlayfs"
  [plugins.'io.containerd.cri.v1.images'.pinned_images]
    sandbox = "{PAUSE}"
[plugins.'io.containerd.cri.v1.runtime']
  # A root without CAP_SYS_RESOURCE may not lower a score, and a container's start would fail on it.
  restrict_oom_score_adj = true
  # Pods' network namespaces lie in the node's folder, so that a tear-down finds them.
  netns_mounts_under_state_dir = true
  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = ["/usr/lib/cni", "/opt/cni/bin"]
    conf_dir = "{folder / "cni"}"
    # The plugin for it would leave a file for every pod in a folder nobody can choose.
    use_internal_loopback = true
  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
      SystemdCgroup = false
      BinaryName = "{shell.which("runc")}"
      Root = "{folder / "state" / "runc"}"
"""


def _kubelet(paths: Paths, *, folder: Path, node: str, group: str) -> str:
    settings = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "failCgroupV1": False,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": group,
        "cgroupsPerQOS": True,
        "enforceNodeAllocatable": [],
        "failSwapOn": False,
        "containerRuntimeEndpoint": f"unix://{folder / 'containerd.sock'}",
        "clusterDNS": [paths.addresses.host],
        "clusterDomain": DOMAIN,
        "resolvConf": "/dev/null",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(paths.pki / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(paths.pki / f"{node}.crt"),
        "tlsPrivateKeyFile": str(paths.pki / f"{node}.key"),
        # A developer's nearly full disk is no reason to evict what is being tested.
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "maxPods": 250,
        "registerNode": True,
        "syncFrequency": "10s",
        "nodeStatusUpdateFrequency": "4s",
        "nodeLeaseDurationSeconds": 10,
        "serializeImagePulls": False,
        "podLogsDir": str(folder / "podlogs"),
        "kubeAPIQPS": 100,
        "kubeAPIBurst": 200,
    }
    return json.dumps(settings, indent=1)


def _proxy(paths: Paths, *, node: str) -> str:
    settings = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clusterCIDR": paths.addresses.pods,
        "hostnameOverride": node,
        "clientConnection": {"kubeconfig": str(paths.pki / "proxy.kubeconfig")},
        # The host's connection table is not ours to size.
        "conntrack": {"maxPerCore": 0},
    }
    return json.dumps(settings, indent=1)
