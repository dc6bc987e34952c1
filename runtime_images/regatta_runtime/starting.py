"""What this pod starts for a generation: one process a rank, or a command that is a launcher once."""

from __future__ import annotations

import os
from typing import Dict, List, Sequence, Tuple

from regatta_runtime import launchers
from regatta_runtime.courier import SOCKET_VARIABLE
from regatta_runtime.crew.messages import Order
from regatta_runtime.environment import Config
from regatta_runtime.frameworks import FRAMEWORKS, wants_peers
from regatta_runtime.frameworks.place import Place, threads
from regatta_runtime.hostfile import VARIABLE as HOSTFILE
from regatta_runtime.hostfile import Hostfile, address_of
from regatta_runtime.processes import Spec

_PACKAGE = os.path.dirname(os.path.abspath(__file__))
RUNTIME_FOLDER = os.path.dirname(_PACKAGE)
HOOKS_FOLDER = os.path.join(_PACKAGE, "hooks", "site")  # holds nothing but a sitecustomize
# The launcher's own: what commands the crew is no business of the training program.
PRIVATE = ("REGATTA_TOKEN",)


class Starter:
    """Makes the processes' commands and environments from the pod's own environment."""

    def __init__(self, *, config: Config, command: Sequence[str], progress: str) -> None:
        self._config = config
        self._command = list(command)
        self._launcher = launchers.recognise(command)
        self._run_once = bool(self._launcher) if config.run_once is None else config.run_once
        self._base = {k: v for k, v in os.environ.items() if k not in PRIVATE}
        self._base.setdefault("PYTHONUNBUFFERED", "1")  # or a process's lines would come in lumps, or not at all
        path = self._base.get("PYTHONPATH", "")
        self._base["PYTHONPATH"] = os.pathsep.join([HOOKS_FOLDER, RUNTIME_FOLDER, *([path] if path else [])])
        if progress:
            self._base[SOCKET_VARIABLE] = progress
        self._hostfile = Hostfile()
        self.mark = os.urandom(12).hex()

    def specs(self, order: Order, *, store_port: int = 0, steps_done: int = 0) -> Tuple[List[Spec], str]:
        """What to start, and a warning for the user (or ""); `steps_done`: the highest step of an earlier life."""
        if steps_done:
            self._base["REGATTA_STEPS_DONE"] = str(steps_done)
        places = [
            Place(self._config, local_rank, order.generation, order.master, order.restarts, order.peers, store_port)
            for local_rank in range(self._config.processes)
        ]
        listed, trouble = self._listed(order)
        if self._run_once:
            command, added, warning = launchers.prepare(self._launcher or "", self._command, places[0])
            environment = self._environment(places[0], {**threads(places[0], self._base), **listed, **added})
            return [Spec(None, f"w{self._config.worker}", command, environment)], warning or trouble
        specs = [Spec(p.rank, str(p.rank), self._command, {**self._of_rank(p), **listed}) for p in places]
        return specs, trouble

    def _listed(self, order: Order) -> Tuple[Dict[str, str], str]:
        """Where the file with all workers is, where they are known; and why there is none (or "")."""
        if not wants_peers(self._config):
            return {}, ""
        workers = [address_of(peer) for peer in order.peers] or [order.master[0]]
        try:
            return {HOSTFILE: self._hostfile.write(workers, slots=self._config.processes)}, ""
        except OSError as problem:
            return {}, f"no {HOSTFILE}, because neither /dev/shm nor /tmp can be written to: {problem}"

    def _of_rank(self, place: Place) -> Dict[str, str]:
        for_framework = FRAMEWORKS[self._config.framework]
        return self._environment(place, {**threads(place, self._base), **for_framework(place)})

    def _environment(self, place: Place, added: Dict[str, str]) -> Dict[str, str]:
        return {
            **self._base,
            "REGATTA_GENERATION": str(place.generation),
            "REGATTA_RESTARTS_USED": str(place.restarts_used),
            **added,
        }
