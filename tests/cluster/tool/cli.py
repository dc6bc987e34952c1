"""The command line of the cluster tool."""

import argparse
import os
import sys
from collections.abc import Sequence

from tests.cluster.tool import build, cluster, images, teardown
from tests.cluster.tool.errors import ToolError
from tests.cluster.tool.paths import Paths
from tests.cluster.tool.progress import Progress


def main(arguments: Sequence[str]) -> int:
    """Run one command; a failure is told in words, without a traceback."""
    options = _parser().parse_args(arguments)
    paths = Paths.default()
    try:
        match options.command:
            case "up":
                cluster.up(paths, nodes=options.nodes, gpus=options.gpus)
            case "images":
                images.ensure(paths, options.names or images.NAMES)
            case "down":
                teardown.down(paths)
            case "kubectl":
                program = build.program(paths, "kubectl")
                os.execv(program, [str(program), "--kubeconfig", str(paths.kubeconfig), *options.rest])
    except ToolError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: what runs keeps running, `up` goes on from here and `down` removes it", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="bring the cluster up, or mend it")
    up.add_argument("--nodes", type=int, default=2, help="real nodes (default 2; 0 is a control plane alone)")
    up.add_argument("--gpus", type=int, default=0, help="nvidia.com/gpu to give every node, for scheduling only")
    image = commands.add_parser("images", help="build the images that changed and import them into the nodes")
    image.add_argument("names", nargs="*", help=f"of {chr(44).join(images.NAMES)} (default all)")
    commands.add_parser("down", help="end the cluster and remove every trace of it")
    kubectl = commands.add_parser("kubectl", help="run kubectl against the cluster")
    kubectl.add_argument("rest", nargs=argparse.REMAINDER)
    return parser
