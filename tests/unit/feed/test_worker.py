"""What the feed's main process and a worker say to each other."""

from __future__ import annotations

import socket

from regatta_feed.worker import Answers, Task, Worker


def test_a_task_for_a_worker_that_has_just_died_is_kept_for_another() -> None:
    mine, theirs = socket.socketpair()
    theirs.close()
    worker = Worker(pid=0, socket=mine, answers=Answers(), tasks={})
    task = Task(7, 0, 1, 0, 0, 3, 0, 4, False)

    worker.send(task)

    assert worker.tasks == {7: task}
    mine.close()
