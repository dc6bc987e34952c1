"""The states of a training process: exclusive, and together all of its time."""

from __future__ import annotations

INIT = "init"  # imports, building the model, everything before the first batch
RENDEZVOUS = "rendezvous"
COMPILE = "compile"  # from the first batch to the end of the first step
STEP = "step"
DATA_WAIT = "data_wait"
CHECKPOINT_SAVE = "checkpoint_save"
CHECKPOINT_RESTORE = "checkpoint_restore"
REWORK = "rework"  # a step that an earlier life of the training had done already
EVAL = "eval"
IDLE = "idle"  # after the last step

STATES = (
    *(INIT, RENDEZVOUS, COMPILE, STEP, DATA_WAIT),
    *(CHECKPOINT_SAVE, CHECKPOINT_RESTORE, REWORK, EVAL, IDLE),
)
