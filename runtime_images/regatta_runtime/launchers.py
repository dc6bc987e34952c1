"""Commands that start the training processes themselves: recognised, run once a pod, and told what they expect."""

from __future__ import annotations

import os
from typing import Dict, List, Optional, Sequence, Tuple

from regatta_runtime.frameworks.place import Place, master

TORCHRUN = "torchrun"
ACCELERATE = "accelerate"
# These reach other hosts by ssh, which pods do not offer.
OVER_SSH = ("deepspeed", "horovodrun", "mpirun", "mpiexec", "mpirun.mpich", "mpirun.openmpi")

_MODULES = {
    "torch.distributed.run": TORCHRUN,
    "torch.distributed.launch": TORCHRUN,
    "torch.distributed.launcher": TORCHRUN,
    "accelerate.commands.launch": ACCELERATE,
    "accelerate.commands.accelerate_cli": ACCELERATE,
    "deepspeed.launcher.runner": "deepspeed",
    "horovod.runner": "horovodrun",
    "horovod.runner.launch": "horovodrun",
}
_SHELLS = ("sh", "bash", "dash", "ash", "zsh")


def recognise(command: Sequence[str]) -> Optional[str]:
    """Which launcher `command` is, if it is one; a shell's `-c` text is looked through as well."""
    words = [os.path.basename(command[0]), *command[1:]]
    if words[0] in _SHELLS:
        return _in_shell_text(words)
    if words[0] in ("env", "nice", "numactl", "stdbuf", "time", "exec"):
        options = ("-", *"0123456789")
        rest = next((i for i, w in enumerate(words[1:], 1) if not w.startswith(options) and "=" not in w), 0)
        return recognise(words[rest:]) if rest else None
    if words[0].startswith("python"):
        return _in_python(words[1:])
    if words[0] == TORCHRUN or words[0] in OVER_SSH:
        return words[0]
    if words[0] == "accelerate-launch" or (words[0] == ACCELERATE and "launch" in words[1:2]):
        return ACCELERATE
    return None


def prepare(launcher: str, command: Sequence[str], place: Place) -> Tuple[List[str], Dict[str, str], str]:
    """The command and environment to run it with, and a warning (or "")."""
    config = place.config
    environment = master(place)
    if launcher == TORCHRUN:
        environment.update(_torchrun(place))
        alone = "--standalone" in command and config.workers > 1
        return list(command), environment, _STANDALONE if alone else ""
    if launcher == ACCELERATE:
        environment.update(_torchrun(place))
        at = _after_launch(command)
        if not at:
            return list(command), environment, _ACCELERATE_IN_SHELL
        return _accelerate(command, place, at), environment, ""
    warning = _OVER_SSH.format(launcher) if config.workers > 1 and launcher in OVER_SSH else ""
    return list(command), environment, warning


_STANDALONE = "torchrun --standalone makes every worker train alone; leave the flag out to train together"
_ACCELERATE_IN_SHELL = (
    "accelerate reads flags only, and here it stands inside a shell's text; give it --num_machines=$PET_NNODES "
    "--machine_rank=$PET_NODE_RANK --main_process_ip=$MASTER_ADDR --main_process_port=$MASTER_PORT"
)
_OVER_SSH = (
    "{} reaches other workers by ssh, which pods do not offer; give the training script itself as the command "
    "(python train.py): it finds RANK, WORLD_SIZE and MASTER_ADDR set"
)


def _torchrun(place: Place) -> Dict[str, str]:
    # The static rendezvous with no restarts of its own: the crew restarts everything on a fresh port, which is quicker
    # than torchrun's elastic restart and does not hang as that does (its store outlives the round that it served).
    config = place.config
    host = f"[{place.master[0]}]" if ":" in place.master[0] else place.master[0]
    return {
        "PET_NNODES": str(config.workers),
        "PET_NODE_RANK": str(config.worker),
        "PET_NPROC_PER_NODE": str(config.processes),
        "PET_MAX_RESTARTS": "0",
        "PET_MASTER_ADDR": place.master[0],
        "PET_MASTER_PORT": str(place.master[1]),
        "PET_RDZV_BACKEND": "static",
        "PET_RDZV_ENDPOINT": f"{host}:{place.master[1]}",
        "PET_RDZV_ID": f"{config.job}-{config.attempt}-{place.generation}",
        "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",  # for those who ask for c10d themselves
    }


def _after_launch(command: Sequence[str]) -> int:
    for i, word in enumerate(command[:6]):
        if os.path.basename(word) == "accelerate-launch" or word in ("launch", "accelerate.commands.launch"):
            return i + 1
    return 0


def _accelerate(command: Sequence[str], place: Place, at: int) -> List[str]:
    # accelerate reads these from flags and its config file only; a flag that the user gave stays.
    config = place.config
    wanted = {
        "num_machines": config.workers,
        "machine_rank": config.worker,
        "num_processes": config.world_size,
        "main_process_ip": place.master[0],
        "main_process_port": place.master[1],
    }
    given = {word.split("=", 1)[0].lstrip("-").replace("-", "_") for word in command if word.startswith("--")}
    flags = [f"--{name}={value}" for name, value in wanted.items() if name not in given]
    return [*command[:at], *flags, *command[at:]]


def _in_python(words: Sequence[str]) -> Optional[str]:
    for i, word in enumerate(words):
        if word == "-m":
            return _MODULES.get(words[i + 1]) if i + 1 < len(words) else None
        if word.startswith("-m") and not word.startswith("--"):
            return _MODULES.get(word[2:])
        if not word.startswith("-"):  # a script; `python /usr/bin/torchrun` as well
            return recognise([word, *words[i + 1 :]]) if os.path.basename(word) in (TORCHRUN, ACCELERATE) else None
    return None


def _in_shell_text(words: Sequence[str]) -> Optional[str]:
    flag = next((i for i, w in enumerate(words) if w.startswith("-") and not w.startswith("--") and w.endswith("c")), 0)
    if not flag or flag + 1 >= len(words):
        return None
    import shlex  # only such commands pay for loading it

    try:
        lexer = shlex.shlex(words[flag + 1], posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        tokens = list(lexer)
    except ValueError:
        return None
    for i, token in enumerate(tokens):
        begins = i == 0 or set(tokens[i - 1]) <= set("();<>|&") or tokens[i - 1] in _BEFORE or "=" in tokens[i - 1]
        found = recognise(tokens[i:]) if begins and token else None
        if found is not None:
            return found
    return None


_BEFORE = ("exec", "then", "do", "else", "time", "nice", "!")
