"""Every second of a training process is in exactly one state, and only what is certain is told."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from regatta_runtime.measure.states import CHECKPOINT_SAVE, DATA_WAIT, EVAL, RENDEZVOUS
from regatta_runtime.measure.stopwatch import Stopwatch


class Process:
    """A stopwatch, and a clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0
        self.watch = Stopwatch(lambda: self.now)

    def does(self, seconds: float) -> Process:
        self.now += seconds
        return self

    def during(self, state: str, seconds: float) -> Process:
        self.watch.enter(state)
        self.now += seconds
        self.watch.leave()
        return self

    def fetches(self, seconds: float, samples: int = 8) -> Process:
        self.during(DATA_WAIT, seconds)
        self.watch.batch(samples)
        return self

    def steps(self, seconds: float) -> Process:
        self.now += seconds
        self.watch.step()
        return self

    def evaluates(self, on: bool = True) -> Process:
        self.watch.evaluate(on)
        return self

    def seconds(self) -> dict[str, float]:
        return {state: round(spent, 9) for state, spent in self.watch.reading().seconds.items()}


def test_the_time_before_the_first_batch_is_init_and_the_first_step_compiles() -> None:
    process = Process().does(5).during(RENDEZVOUS, 2).does(1).fetches(0.5).steps(30)
    assert process.seconds() == {"init": 6, "rendezvous": 2, "data_wait": 0.5, "compile": 30}
    assert (process.watch.steps, process.watch.samples) == (1, 8)


def test_a_step_is_what_lies_between_two_of_them_but_waits_and_checkpoints() -> None:
    process = Process().fetches(0).steps(0)
    process.does(1).fetches(3).does(2).during(CHECKPOINT_SAVE, 4).steps(10)
    assert process.seconds() == {"step": 13, "data_wait": 3, "checkpoint_save": 4}


def test_time_after_a_step_is_not_told_before_the_next_one_is_done() -> None:
    process = Process().fetches(0).steps(0).does(7)
    assert process.seconds() == {}
    assert process.steps(1).seconds() == {"step": 8}


def test_what_no_step_follows_was_idle() -> None:
    process = Process().fetches(0).steps(0).steps(1).does(60)
    assert process.watch.finish().seconds == {"step": 1, "idle": 60}


def test_an_evaluation_holds_its_own_waits_and_counts_no_samples() -> None:
    process = Process().fetches(0).steps(0).evaluates().fetches(2).does(5).evaluates(False)
    assert process.seconds() == {"eval": 7}
    assert process.steps(1).watch.samples == 8


def test_an_evaluation_that_ends_the_program_was_one() -> None:
    process = Process().fetches(0).steps(0).steps(1).does(1).evaluates().does(5)
    assert process.watch.finish().seconds == {"step": 1, "idle": 1, "eval": 5}


def test_a_frozen_part_in_evaluation_mode_does_not_keep_steps_from_being_steps() -> None:
    process = Process().fetches(0).steps(0).evaluates().fetches(1).steps(2).does(1).fetches(1).steps(2)
    assert process.seconds() == {"step": 6, "data_wait": 1}  # the wait in between is known for one only afterwards
    assert process.watch.samples == 24


def test_a_step_that_was_done_before_is_rework_and_its_wait_a_wait() -> None:
    process = Process().fetches(0).steps(9).does(1).fetches(2)
    process.now += 3
    process.watch.step(again=True)
    assert process.seconds() == {"compile": 9, "rework": 4, "data_wait": 2}
    assert (process.watch.steps, process.watch.lost) == (2, 1)


def test_an_evaluation_that_says_so_itself_holds_everything_but_checkpoints() -> None:
    process = Process().fetches(0).steps(0).does(1)
    process.watch.enter(EVAL)
    process.evaluates().fetches(2).does(3).during(CHECKPOINT_SAVE, 4)
    process.watch.leave()
    assert process.fetches(1).steps(1).seconds() == {"eval": 5, "checkpoint_save": 4, "step": 2, "data_wait": 1}
    assert process.watch.samples == 16


def test_an_evaluation_before_the_first_step_is_none_of_the_training() -> None:
    process = Process().does(3).evaluates().does(1).fetches(2, samples=100).does(4).evaluates(False).does(1)
    assert process.fetches(1).steps(5).seconds() == {"init": 7, "eval": 4, "data_wait": 1, "compile": 5}
    assert process.watch.samples == 8


def test_a_part_that_is_in_evaluation_mode_from_the_beginning_evaluates_nothing() -> None:
    process = Process().evaluates().does(3).fetches(1).steps(5)
    assert process.seconds() == {"init": 4, "compile": 5}
    assert process.fetches(1).steps(5).seconds() == {"init": 4, "compile": 5, "step": 5, "data_wait": 1}


def test_steps_that_cannot_be_told_apart_share_their_time() -> None:
    process = Process().fetches(0).steps(0).fetches(4)
    process.now += 8
    process.watch.step(times=4)
    assert process.seconds() == {"data_wait": 4, "step": 8}
    duration = process.watch.reading().durations["step"]
    assert (duration.sum, sum(duration.counts)) == (12.0, 4)


def test_batches_that_only_built_the_model_are_no_samples() -> None:
    process = Process().fetches(0, samples=100)
    process.watch.discard()
    assert process.fetches(0).steps(1).watch.samples == 8


ACTIONS = st.sampled_from(["fetches", "steps", "redo", "save", "eval", "train", "does", "evaluate"])


@given(st.lists(st.tuples(ACTIONS, st.integers(0, 50)), max_size=60))
def test_all_states_together_are_the_wall_time_and_none_ever_shrinks(actions: list[tuple[str, int]]) -> None:
    process = Process()
    before: dict[str, float] = {}
    for action, seconds in actions:
        match action:
            case "fetches":
                process.fetches(seconds)
            case "steps":
                process.steps(seconds)
            case "redo":
                process.does(seconds).watch.step(again=True)
            case "evaluate":
                process.watch.enter(EVAL)
                process.fetches(seconds)
                process.watch.leave()
            case "save":
                process.during(CHECKPOINT_SAVE, seconds)
            case "does":
                process.does(seconds)
            case mode:
                process.does(seconds).evaluates(mode == "eval")
        told = process.watch.reading()
        assert all(told.seconds[state] >= spent for state, spent in before.items())
        before = told.seconds
    assert sum(process.watch.finish().seconds.values()) == process.now - 100.0
