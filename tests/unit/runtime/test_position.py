"""At which step of the whole training a process is: said where it is certain, and only there."""

from __future__ import annotations

from regatta_runtime.measure.position import CHECKPOINT, EPOCHS, OPTIMIZER, Position


def test_a_process_that_restored_nothing_began_at_the_beginning() -> None:
    assert Position().after(7) == 7


def test_a_process_that_restored_something_is_nowhere_until_somebody_says_where() -> None:
    position = Position()
    position.restored()
    assert position.after(7) is None
    position.says(CHECKPOINT, 100, steps=0)
    assert position.after(7) == 107


def test_an_optimizer_that_counts_its_steps_is_believed_before_a_checkpoint_and_epochs() -> None:
    position = Position()
    position.says(OPTIMIZER, 101, steps=1)
    position.says(CHECKPOINT, 5, steps=1)
    position.says(EPOCHS, 9, steps=1)
    assert position.after(1) == 101


def test_a_program_is_believed_where_it_counts_the_same_steps_and_nobody_knows_better() -> None:
    position = Position()
    position.restored()
    position.reported(500, steps=10)
    assert position.after(10) is None  # one word may count anything
    position.reported(520, steps=30)
    assert position.after(31) == 521


def test_a_program_that_counts_something_else_is_not_believed() -> None:
    position = Position()
    position.restored()
    for micro_batches, steps in ((40, 10), (80, 20)):
        position.reported(micro_batches, steps=steps)
    assert position.after(20) is None


def test_a_count_that_makes_no_sense_is_no_count() -> None:
    position = Position()
    position.says(OPTIMIZER, -3, steps=0)
    assert position.after(2) == 2
