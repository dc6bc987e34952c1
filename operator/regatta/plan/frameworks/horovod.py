"""Horovod: its processes meet in a store that only the launcher in the pod offers, so nothing is known beforehand."""

from __future__ import annotations

from regatta.plan.frameworks.custom import Custom

__all__ = ["Horovod"]


class Horovod(Custom):
    """One worker without a launcher may start its own processes; several without one are refused by validation."""
