"""Whether the kernel killed a process of this container for want of memory: its exit status alone cannot tell."""

from __future__ import annotations

EVENTS = "/sys/fs/cgroup/memory.events"  # cgroup v2, as a container sees its own
CONTROL = "/sys/fs/cgroup/memory/memory.oom_control"  # v1


def kills() -> int:
    """How often so far; 0 where it cannot be known."""
    for path in (EVENTS, CONTROL):
        try:
            with open(path) as file:
                for line in file:
                    name, _, count = line.partition(" ")
                    if name == "oom_kill" and count.strip().isdigit():
                        return int(count)
        except OSError:
            continue
    return 0
