"""`regatta watch NAME`: follows a job to its end, a line for each change and, on a terminal, a bar below them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from rich.console import Console
from rich.live import Live
from rich.text import Text

from regatta.api.status import Phase, TrainingJobStatus
from regatta.cli.cluster import Change
from regatta.cli.text import one_line, span
from regatta.cli.view import Style, progress_line

__all__ = ["PHASE_STYLES", "change_line", "follow", "live_line"]

PHASE_STYLES: Final = {
    Phase.QUEUED: "yellow",
    Phase.STARTING: "yellow",
    Phase.RUNNING: "cyan",
    Phase.RESTARTING: "magenta",
    Phase.SUSPENDED: "dim",
    Phase.SUCCEEDED: "green",
    Phase.FAILED: "bold red",
}


def follow(changes: Iterable[Change], *, console: Console, style: Style) -> bool:
    """Print the job's changes until it ends; whether it succeeded. A job that is deleted has not."""
    status = TrainingJobStatus()
    with Live(
        get_renderable=lambda: live_line(status, now=datetime.now(UTC), style=style),
        console=console,
        refresh_per_second=2,
        transient=True,
        auto_refresh=console.is_terminal,
    ) as live:
        said = ""
        for change in changes:
            status = TrainingJobStatus.from_api(change.object.get("status"))
            line = change_line(status, with_progress=not console.is_terminal)
            if line != said:
                said = line
                stamp = datetime.now().astimezone().strftime("%H:%M:%S")
                text = Text().append(f"{stamp}  ", style="dim")
                text.append(line, style=PHASE_STYLES.get(status.phase, "") if status.phase else "")
                live.console.print(text, soft_wrap=True)
            if status.phase is not None and status.phase.terminal:
                return status.phase is Phase.SUCCEEDED
            if change.deleted:
                live.console.print(Text("the job was deleted"), soft_wrap=True)
                return False
    return False


def change_line(status: TrainingJobStatus, *, with_progress: bool) -> str:
    """One line about a state; equal lines mean that nothing worth a line has changed."""
    if status.phase is None:
        return "waits for the operator"
    parts = [f"{status.phase:<10}", f"attempt {status.attempt}" if status.attempt else ""]
    if status.workers.desired:
        done = f" {status.workers.succeeded} done" if status.workers.succeeded else ""
        parts.append(f"{status.workers.summary} joined{done}")
    if with_progress and status.progress is not None and status.progress.summary:
        parts.append(status.progress.summary)
    words = ": ".join(filter(None, (one_line(status.reason), one_line(status.message))))
    return "  ".join(filter(None, (*parts, words)))


def live_line(status: TrainingJobStatus, *, now: datetime, style: Style) -> Text:
    """What stands below the lines and moves: progress where there is some, else how long it has waited."""
    if status.phase is Phase.RUNNING and status.progress is not None:
        return Text(progress_line(status.progress, style=style), style="cyan", no_wrap=True)
    if status.next_try_time is not None:
        return Text(f"next try in {span((status.next_try_time - now).total_seconds())}", style="dim", no_wrap=True)
    since = status.running_since if status.phase is Phase.RUNNING else status.start_time
    if status.phase is None or since is None:
        return Text("")
    return Text(f"{status.phase} for {span((now - since).total_seconds())}", style="dim", no_wrap=True)
