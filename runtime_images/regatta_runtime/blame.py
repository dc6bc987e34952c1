"""Why a training process ended badly: a cause of the job's status, and a sentence for people."""

from __future__ import annotations

import signal
from typing import Tuple

from regatta_runtime.crew.messages import CONFIG_ERROR, OOM_KILLED, USER_ERROR
from regatta_runtime.processes import Exit


def blame(exited: Exit, *, worker: int, out_of_memory: bool, refusal: str) -> Tuple[str, str]:
    """Cause and sentence; `refusal` is what a hook said when it did not let the program train."""
    cause, text, words = USER_ERROR, f"exited with code {exited.exit_code}", exited.words
    if exited.signal is not None:
        text = f"was killed by {signal_name(exited.signal)}"
    if refusal:
        cause, text, words = CONFIG_ERROR, "cannot train as this job asks", refusal
    elif exited.signal == signal.SIGKILL and out_of_memory:
        cause, text = OOM_KILLED, "was killed because the container ran out of memory"
    who = f"rank {exited.rank}" if exited.rank is not None else "the command"
    return cause, f"{who} on worker {worker} {text}" + (f": {words}" if words else "")


def signal_name(signum: int) -> str:
    """Such as SIGTERM."""
    try:
        return signal.Signals(signum).name
    except ValueError:
        return f"signal {signum}"
