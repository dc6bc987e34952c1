"""Showing the cluster to a person: what runs, what doesn't and why, and how to reach it."""

import shlex

from tests.cluster.tool import build, cluster, external, shell, state
from tests.cluster.tool.paths import Paths


def show(paths: Paths, *, context: str | None = None) -> int:
    """Print the state of the cluster in use; return 0 when all is well."""
    wanted = external.chosen(context=context)
    if wanted is not None:
        found = external.check(wanted)
        print(f"context     {found.context}, Kubernetes {found.version}, {len(found.nodes)} nodes")
        print(f"KUBECONFIG  {found.kubeconfig}")
        return 0
    health = cluster.health(paths)
    if not health.components:
        print("no cluster runs here; start one with: python -m tests.cluster up")
        return 1
    running = state.processes(paths)
    versions = build.versions()
    print(
        f"Kubernetes {versions['kube']}, etcd {versions['etcd']}, containerd {versions['containerd']}, "
        f"CoreDNS {versions['coredns']}"
    )
    print(f"{'COMPONENT':<28}{'STATE':<10}PID")
    for name, pid in health.components.items():
        print(f"{name:<28}{'runs' if pid else 'dead':<10}{pid or ''}")
    print(f"{'NODE':<28}STATE")
    for name, ready in health.nodes.items():
        print(f"{name:<28}{'ready' if ready else 'not ready'}")
    if not health.nodes:
        print("(none: a control plane alone)")
    print(f"API server: {'ready' if health.api else 'does not answer'}")
    print(f"logs: {paths.logs}")
    print(f"export KUBECONFIG={shlex.quote(str(paths.kubeconfig))}")
    if health.good:
        return 0
    for name in (name for name, pid in health.components.items() if not pid):
        log = running.log(name)
        print(f"the end of {log}:")
        print(shell.tail(log.read_text(errors="replace"), lines=5) if log.exists() else "  (no log)")
    print("mend it with: python -m tests.cluster up")
    return 1
