"""The command line: verbs, options, exit codes. 0: done or succeeded; 1: failed or not found; 2: called wrongly.

Everything a verb shows comes from a pure function beside this file; here it meets the cluster and the terminal.
"""

from __future__ import annotations

import contextlib
import enum
import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

import regatta
from regatta.cli.cluster import Cluster, Connection
from regatta.cli.spending import Order
from regatta.cli.text import columns, one_line
from regatta.errors import RegattaError, UsageError

if TYPE_CHECKING:
    from regatta.cli.view import Style

__all__ = ["app", "command"]

Namespace = Annotated[str | None, typer.Option("--namespace", "-n", help="Namespace; else that of the context.")]
Context = Annotated[str | None, typer.Option("--context", help="Context of the kubeconfig; else its current one.")]
Kubeconfig = Annotated[str | None, typer.Option("--kubeconfig", help="Kubeconfig file; else KUBECONFIG's.")]
JobName = Annotated[str, typer.Argument(metavar="NAME", help="Name of the TrainingJob.", show_default=False)]
WorkerIndex = Annotated[int | None, typer.Option("--worker", "-w", min=0, metavar="N", help="Only worker N.")]


class Output(enum.StrEnum):
    """Forms in which an answer is printed."""

    TREE = "tree"
    JSON = "json"


command = typer.Typer(
    name="regatta",
    help="Distributed training on Kubernetes: see, follow and check TrainingJobs.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def app() -> None:
    """Entry point of `regatta` and `kubectl regatta`."""
    try:
        command()
    except UsageError as error:
        _complain(str(error))
        sys.exit(2)
    except RegattaError as error:
        _complain(str(error))
        sys.exit(1)


@command.command()
def render(
    file: Annotated[str, typer.Argument(metavar="FILE", help="Manifest; - reads the standard input.")],
    worker: WorkerIndex = None,
    everything: Annotated[bool, typer.Option("--all", help="Show every worker's pod.")] = False,
    from_cluster: Annotated[
        bool, typer.Option("--from-cluster", help="Take images and abilities from the cluster's operator.")
    ] = False,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Check a manifest and print the objects it would become. Nothing is created."""
    from regatta.cli.installed import installed_settings
    from regatta.cli.manifest import read_manifests
    from regatta.cli.render import default_installation, rendering, selected, to_yaml

    connection = Connection(kubeconfig=kubeconfig, context=context, namespace=namespace)
    installation = installed_settings(connection.open()) if from_cluster else default_installation()
    source = "standard input" if file == "-" else file
    out, err = _console(), _console(stderr=True)
    sound = True
    manifests = [manifest for manifest in read_manifests(_read(file), source=source) if _is_job(manifest.object)]
    if not manifests:
        raise UsageError(f"{source}: no TrainingJob in it")
    for manifest in manifests:
        result = rendering(manifest, installation=installation, namespace=namespace or "default")
        for kind, style, notes in (("", "red", result.problems), ("warning: ", "yellow", result.warnings)):
            for note in sorted(notes, key=lambda note: manifest.line(note.path)):
                where = f"{source}:{manifest.line(note.path)}: "
                err.print(Text(one_line(f"{where}{kind}{note}"), style=style), soft_wrap=True)
        sound = sound and not result.problems
        shown, alike = selected(result.creates, worker=worker, everything=everything)
        if shown:
            out.print(Text("# uid and token are placeholders for those that the job will get."), soft_wrap=True)
        for document in to_yaml(shown):
            out.print(Text(document), end="", soft_wrap=True)
        if alike:
            names = alike[0] if len(alike) == 1 else f"{alike[0]} to {alike[-1]}"
            out.print(
                Text(f"# and {len(alike)} more like it: {names} (--worker N shows one, --all all)"), soft_wrap=True
            )
    if not sound:
        raise typer.Exit(1)


@command.command()
def get(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="One job; else all.", show_default=False)] = None,
    all_namespaces: Annotated[bool, typer.Option("--all-namespaces", "-A", help="In all namespaces.")] = False,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """List jobs."""
    from regatta.cli.rows import job_table

    cluster = Connection(kubeconfig=kubeconfig, context=context, namespace=namespace).open()
    jobs = [cluster.job(name)] if name else cluster.jobs(everywhere=all_namespaces)
    if not jobs:
        where = "in the cluster" if all_namespaces else f"in namespace {cluster.namespace}"
        _console(stderr=True).print(Text(f"no TrainingJobs {where}"), soft_wrap=True)
        return
    for line in job_table(jobs, namespaces=all_namespaces, now=datetime.now(UTC)):
        _console().print(Text(line), soft_wrap=True)


@command.command()
def top(
    all_namespaces: Annotated[bool, typer.Option("--all-namespaces", "-A", help="In all namespaces.")] = False,
    sort: Annotated[Order, typer.Option("--sort", help="By what; the worst comes first.")] = Order.GOODPUT,
    everything: Annotated[bool, typer.Option("--all", help="Jobs that have ended, too.")] = False,
    once: Annotated[bool, typer.Option("--once", help="Print once; so it is where nobody watches.")] = False,
    interval: Annotated[int, typer.Option("--interval", min=1, max=3600, metavar="SECONDS")] = 5,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Show jobs by how well they use what they hold, refreshing. From their statuses: no Prometheus is needed."""
    from regatta.cli.top import keep_showing, top_lines

    cluster = Connection(kubeconfig=kubeconfig, context=context, namespace=namespace).open()
    console = _console()

    def jobs() -> list[dict[str, Any]]:
        return cluster.jobs(everywhere=all_namespaces)

    def lines(found: Sequence[Mapping[str, Any]], width: int, height: int | None) -> list[str]:
        return top_lines(found, namespaces=all_namespaces, order=sort, ended=everything, width=width, height=height)

    if once or not console.is_terminal:
        for line in lines(jobs(), _style(console).width, None):
            console.print(Text(line), soft_wrap=True)
        return
    with contextlib.suppress(KeyboardInterrupt):
        keep_showing(jobs, lines, console=console, seconds=interval, now=lambda: datetime.now(UTC))


@command.command()
def status(
    name: JobName,
    everything: Annotated[bool, typer.Option("--all", help="Show every worker.")] = False,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Show one job: what it does, what hinders it, its workers and failures."""
    from regatta.cli.view import job_lines

    cluster = Connection(kubeconfig=kubeconfig, context=context, namespace=namespace).open()
    job = cluster.job(name)
    console = _console()
    lines = job_lines(job, cluster.pods(name), now=datetime.now(UTC), style=_style(console), everything=everything)
    for line in lines:
        console.print(Text(line), soft_wrap=True)


@command.command()
def explain(
    name: JobName,
    output: Annotated[Output, typer.Option("--output", "-o", help="A tree to read, or JSON.")] = Output.TREE,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Show the chain from a job to what hinders it, and what to do. Exits with 0 whenever the job exists."""
    from regatta.cli.chain import chain_json, chain_lines
    from regatta.cli.explain import explain as explained
    from regatta.cli.gather import gather

    cluster = Connection(kubeconfig=kubeconfig, context=context, namespace=namespace).open()
    chain = explained(gather(cluster, name), now=cluster.time())
    console = _console()
    lines = (
        [json.dumps(chain_json(chain), indent=2)]
        if output is Output.JSON
        else chain_lines(chain, style=_style(console))
    )
    for line in lines:
        console.print(Text(line), soft_wrap=True)


@command.command()
def watch(name: JobName, namespace: Namespace = None, context: Context = None, kubeconfig: Kubeconfig = None) -> None:
    """Follow a job to its end. Exits with 0 when it succeeded, with 1 when it failed."""
    from regatta.cli.watch import follow

    cluster = Connection(kubeconfig=kubeconfig, context=context, namespace=namespace).open()
    cluster.job(name)  # a watch would wait for ever for a job that is not there
    console = _console()
    if not follow(cluster.watch_job(name), console=console, style=_style(console)):
        raise typer.Exit(1)


@command.command()
def logs(
    name: JobName,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the job has ended.")] = False,
    worker: WorkerIndex = None,
    tail: Annotated[
        int | None, typer.Option("--tail", min=0, metavar="N", help="Only the last N lines of each worker.")
    ] = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Print the logs of all workers, each line under its worker's index."""
    from regatta.cli.logs import LogPrinter, follow_logs, latest_workers, print_logs

    cluster = Connection(kubeconfig=kubeconfig, context=context, namespace=namespace).open()
    workers = int((cluster.job(name).get("spec") or {}).get("workers", 1))
    if worker is not None and worker >= workers:
        raise UsageError(f"there is no worker {worker}; this job has workers 0 to {workers - 1}")
    printer = LogPrinter(_console(), width=len(str(workers - 1)))
    if follow:
        follow_logs(cluster, name, index=worker, tail=tail, printer=printer)
        return
    found = latest_workers(cluster.pods(name), index=worker)
    print_logs(cluster, found, tail=tail, printer=printer)
    if not any(each.has_log for each in found):
        hint = "no worker has started so far; --follow waits for them, `regatta explain` says what hinders them"
        _console(stderr=True).print(Text(hint), soft_wrap=True)


@command.command()
def report(
    name: JobName,
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="FILE", help="Else NAME-report.html; - is standard output.")
    ] = None,
    prometheus: Annotated[
        str | None, typer.Option("--prometheus", metavar="URL", help="Adds curves; knows jobs that are gone.")
    ] = None,
    since: Annotated[
        str, typer.Option("--since", metavar="SPAN", help="How far to look back for a job that is gone: 90m, 24h, 7d.")
    ] = "24h",
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Write one page about a job: where its time went, its course over time, its failures."""
    from regatta.cli.report.made import made_story, past
    from regatta.cli.report.page import page
    from regatta.cli.report.prometheus import Prometheus

    story = made_story(
        name,
        open_cluster=Connection(kubeconfig=kubeconfig, context=context, namespace=namespace).open,
        namespace=namespace,
        prometheus=None if prometheus is None else Prometheus(prometheus),
        since=past(since),
    )
    text = page(story)
    if output == "-":
        sys.stdout.write(text)
        return
    file = Path(output or f"{name}-report.html")
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror or error}") from error
    _console().print(Text(one_line(f"wrote {file}")), soft_wrap=True)


feed = typer.Typer(
    name="feed",
    help="Run a preprocessing pipeline on this machine, as the sidecar does in a job.",
    invoke_without_command=True,
    rich_markup_mode=None,
)
command.add_typer(feed)


@feed.callback()
def feed_run(
    context: typer.Context,
    spec: Annotated[str | None, typer.Option("--spec", metavar="FILE", help="Pipeline, or a job's manifest.")] = None,
    folder: Annotated[
        str | None, typer.Option("--folder", metavar="DIR", help="Where programs find the feed; else a new one.")
    ] = None,
    queues: Annotated[int, typer.Option("--queues", min=1, metavar="N", help="Training processes that read.")] = 1,
    processes: Annotated[
        int | None, typer.Option("--processes", min=1, metavar="N", help="Processes that work; else one for each CPU.")
    ] = None,
    slots: Annotated[int, typer.Option("--slots", min=2, metavar="N", help="Batches in memory for each reader.")] = 4,
    epochs: Annotated[
        int | None, typer.Option("--epochs", min=1, metavar="N", help="Instead of what the pipeline says.")
    ] = None,
    measure: Annotated[bool, typer.Option("--measure", help="Read the batches itself, and print the speed.")] = False,
) -> None:
    """Run a pipeline for programs of this machine, which find it by the folder in REGATTA_FEED."""
    from regatta.cli.feed import run_feed

    if context.invoked_subcommand is not None:
        return
    if spec is None:
        raise UsageError("regatta feed wants --spec FILE")
    arguments = ["--spec", spec, "--queues", str(queues), "--slots", str(slots)]
    for name, value in (("--folder", folder), ("--processes", processes), ("--epochs", epochs)):
        arguments += [] if value is None else [name, str(value)]
    run_feed([*arguments, *(["--measure"] if measure else [])])


@feed.command()
def preview(
    spec: Annotated[str, typer.Option("--spec", metavar="FILE", help="Pipeline, or a job's manifest.")],
    output: Annotated[str, typer.Option("--output", "-o", metavar="PNG", help="The picture.")] = "preview.png",
) -> None:
    """Write a picture of what a pipeline makes, and print what each of its steps costs."""
    from regatta.cli.feed import run_feed

    run_feed(["--spec", spec, "--preview", output])


@command.command()
def version(
    client: Annotated[bool, typer.Option("--client", help="Only this command; asks no cluster.")] = False,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Show the versions of this command and of what is installed in the cluster."""
    from regatta.cli.installed import version_lines

    rows = [("Command", regatta.__version__)]
    failure: RegattaError | None = None
    if not client:
        try:
            cluster: Cluster = Connection(kubeconfig=kubeconfig, context=context, namespace=namespace).open()
            rows.extend(version_lines(cluster))
        except RegattaError as error:
            failure = error
    for line in columns(rows):
        _console().print(Text(line), soft_wrap=True)
    if failure is not None:
        raise failure


def _console(*, stderr: bool = False) -> Console:
    return Console(stderr=stderr, highlight=False, markup=False, emoji=False)


def _style(console: Console) -> Style:
    from regatta.cli.view import Style

    width = min(console.width, 120) if console.is_terminal else 80
    return Style(width=width, ascii_only=console.options.ascii_only)


def _complain(words: str) -> None:
    _console(stderr=True).print(Text(f"regatta: {one_line(words)}", style="red"), soft_wrap=True)


def _read(file: str) -> str:
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _is_job(value: object) -> bool:
    from regatta.api import names

    # What has another kind is another object of the same file; what has none is taken for a job and told so.
    return isinstance(value, dict) and value.get("kind", names.KIND) == names.KIND


if __name__ == "__main__":
    app()
