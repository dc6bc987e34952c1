"""The launcher's command line: reads the environment, runs the crew's part in this pod, exits as it went."""

from __future__ import annotations

import os
import sys
from typing import List, Optional

from regatta_runtime import launchers, termination
from regatta_runtime.environment import TERMINATION_LOG, Config, ConfigError, load
from regatta_runtime.frameworks import FRAMEWORKS
from regatta_runtime.launcher import Launcher
from regatta_runtime.loop import Loop
from regatta_runtime.output import Pump

EXIT_USAGE = 64
EXIT_BUG = 70


def main(arguments: List[str]) -> int:
    """Run `-- COMMAND ARGUMENTS...` as this worker's part of the crew."""
    try:
        config = load(os.environ)
        if config.framework not in FRAMEWORKS:
            known = ", ".join(sorted(FRAMEWORKS))
            raise ConfigError(f"REGATTA_FRAMEWORK={config.framework!r}: this runtime knows {known}")
        command = arguments[1:] if arguments[:1] == ["--"] else arguments
        if not command or not command[0]:
            raise ConfigError("no command given; usage: python -m regatta_runtime -- COMMAND [ARGUMENT...]")
        if config.framework == "Keras" and launchers.recognise(command):
            # Its ranks would be another program's children, whose Keras nobody makes one of several.
            raise ConfigError(
                f"{command[0]} cannot start the processes of a Keras job; write the program itself as spec.command, "
                "such as [python, train.py], and as many as needed are started"
            )
    except ConfigError as problem:
        path = os.environ.get("REGATTA_TERMINATION_LOG") or TERMINATION_LOG
        return _give_up(path, EXIT_USAGE, "ConfigError", str(problem))
    return _run(config, command)


def _run(config: Config, command: List[str]) -> int:
    loop, pump = Loop(), Pump()
    launcher: Optional[Launcher] = None
    try:
        launcher = Launcher(config=config, command=command, loop=loop, pump=pump)
        return launcher.run()
    except Exception as problem:  # a mistake of ours must be told, not hang the crew
        import traceback

        traceback.print_exc()
        if launcher is not None:
            launcher.abandon()
        return _give_up(config.termination_log, EXIT_BUG, "LauncherError", f"{type(problem).__name__}: {problem}")
    finally:
        pump.close(2.0)


def _give_up(path: str, exit_code: int, cause: str, text: str) -> int:
    print(f"[regatta] {text}", file=sys.stderr, flush=True)
    termination.write(path, termination.plain(exit_code=exit_code, cause=cause, text=text))
    return exit_code
