"""The command line of the cluster tool: a real Kubernetes on one machine, and the images that run on it."""

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.cluster.tool import api, build, external, images, kwok, state, teardown
from tests.cluster.tool.errors import ToolError
from tests.cluster.tool.paths import Paths
from tests.cluster.tool.progress import Progress
from tests.cluster.tool.status import show


def main(arguments: Sequence[str]) -> int:
    """Run one command; a failure is told in words, without a traceback."""
    options = _parser().parse_args(arguments)
    try:
        return _run(options, Paths.default())
    except ToolError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: what runs keeps running, `up` goes on from here and `down` removes it", file=sys.stderr)
        return 130


def _run(options: argparse.Namespace, paths: Paths) -> int:
    progress = Progress()
    match options.command:
        case "up":
            wanted = external.chosen(context=options.context)
            if options.images and wanted is None:
                images.ensure(paths, images.NAMES, progress=progress, load=False)
            target = api.ensure_cluster(nodes=options.nodes, gpus=options.gpus, context=options.context)
            if options.images:
                api.ensure_images(target)
            print(f"export KUBECONFIG={shlex.quote(str(target.kubeconfig))}")
        case "down":
            if external.chosen() is not None:
                progress.say("REGATTA_KUBECONFIG names a cluster of yours: it is left alone")
                return 0
            teardown.down(paths, progress=progress)
        case "status":
            return show(paths, context=options.context)
        case "leftovers":
            left = teardown.leftovers(paths)
            print("\n".join(left) or "nothing is left of a cluster")
            return 1 if left else 0
        case "build":
            build.ensure(paths, tuple(options.names) or build.NAMES, progress=progress)
        case "images":
            wanted = external.chosen(context=options.context)
            names = options.names or images.NAMES
            if wanted is not None:
                external.provide_images(wanted, names, progress=progress)
            else:
                for image in images.ensure(paths, names, progress=progress).values():
                    print(f"{image.reference}  {image.archive}")
        case "kwok":
            wanted = external.chosen(context=options.context)
            kubeconfig = external.minified(wanted) if wanted else None
            if options.change == "up":
                kwok.up(paths, nodes=options.nodes, gpus=options.gpus, kubeconfig=kubeconfig, progress=progress)
            else:
                kwok.down(paths, kubeconfig=kubeconfig, progress=progress)
        case "logs":
            _logs(paths, options.component)
        case "kubectl" | "helm":
            _become(build.program(paths, options.command), paths, options.rest)
    return 0


def _become(program: Path, paths: Paths, arguments: list[str]) -> None:
    """Turn into kubectl or helm, talking to the cluster in use."""
    wanted = external.chosen()
    kubeconfig = wanted.kubeconfig if wanted else paths.kubeconfig
    os.execve(program, [str(program), *arguments], {**os.environ, "KUBECONFIG": str(kubeconfig)})


def _logs(paths: Paths, component: str | None) -> None:
    running = state.processes(paths)
    if component is None:
        print("\n".join(str(running.log(name)) for name in running.names()) or "nothing was started")
        return
    log = running.log(component)
    if component not in running.names() or not log.exists():
        raise ToolError(f"no component is called {component}; there are {', '.join(running.names()) or 'none'}")
    print(log.read_text(errors="replace"), end="")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.cluster",
        description=__doc__,
        epilog=f"Everything lies below {Paths.default().cache} (REGATTA_CACHE). "
        "With REGATTA_KUBECONFIG or --context a cluster of yours is used, and nothing is built.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, help_text: str, *, context: bool = False) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=help_text, description=help_text)
        if context:
            made.add_argument("--context", help="use the cluster of this kube context")
        return made

    up = command("up", "bring the cluster up, or mend the one there is", context=True)
    up.add_argument("--nodes", type=int, default=2, help="real nodes (default 2; 0 is a control plane alone)")
    up.add_argument("--gpus", type=int, default=0, help="nvidia.com/gpu of every node, for scheduling only")
    up.add_argument("--images", action="store_true", help="also build the images and give them to the nodes")
    command("down", "end the cluster and remove every trace of it")
    command("status", "show what runs, and how to reach it", context=True)
    command("leftovers", "list what a torn-down cluster left behind; fails when there is anything")
    built = command("build", "build the programs that are missing")
    built.add_argument("names", nargs="*", metavar="NAME", help=f"of: {' '.join(build.NAMES)} (default: all)")
    made = command("images", "build the images that changed and give them to the nodes", context=True)
    made.add_argument("names", nargs="*", metavar="NAME", help=f"of: {' '.join(images.NAMES)} (default: all)")
    fake = command("kwok", "have fake nodes, whose pods run without containers", context=True)
    fake.add_argument("change", choices=["up", "down"])
    fake.add_argument("--nodes", type=int, default=100, help="how many (default 100)")
    fake.add_argument("--gpus", type=int, default=8, help="nvidia.com/gpu of each (default 8)")
    logs = command("logs", "show a component's log, or where all of them are")
    logs.add_argument("component", nargs="?")
    for name in ("kubectl", "helm"):
        command(name, f"run {name} against the cluster").add_argument("rest", nargs=argparse.REMAINDER)
    return parser
