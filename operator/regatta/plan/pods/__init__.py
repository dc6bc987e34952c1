"""Builders of child objects: pure functions from a job to the dicts that are posted."""

from __future__ import annotations

from regatta.plan.pods.network import network_policy
from regatta.plan.pods.service import headless_service, source_config_map
from regatta.plan.pods.worker import worker_pods

__all__ = ["headless_service", "network_policy", "source_config_map", "worker_pods"]
