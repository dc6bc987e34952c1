"""What kopf is told, where its own defaults would end the operator or keep it deaf."""

from __future__ import annotations

from itertools import islice

from regatta.control.handlers import Patience, kopf_settings


def test_a_request_of_kopf_is_tried_again_without_end_and_without_a_tight_loop() -> None:
    patience = Patience()
    pauses = list(islice(patience, 1000))
    assert pauses == sorted(pauses)
    assert pauses[0] > 0
    assert pauses[-1] == 5
    assert list(islice(patience, 1000)) == pauses  # each request begins with short ones


def test_a_stream_of_kopf_is_taken_up_again_after_the_silence_that_the_operator_is_told() -> None:
    assert kopf_settings(silence=12.5).watching.inactivity_timeout == 12.5
