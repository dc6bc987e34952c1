"""Builder of TrainingJob manifests: `job("a").workers(2).source(train=CODE).obj()`."""

from __future__ import annotations

import copy
from typing import Any, Self

__all__ = ["JobBuilder", "job"]


class JobBuilder:
    """A TrainingJob under construction; every method returns the builder."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._spec: dict[str, Any] = {"framework": "PyTorch", "workers": 1}

    def set(self, **fields: object) -> Self:
        """Set fields of the spec as they are written in a manifest."""
        self._spec.update(fields)
        return self

    def without(self, *fields: str) -> Self:
        """Leave fields out."""
        for field in fields:
            self._spec.pop(field, None)
        return self

    def framework(self, name: str) -> Self:
        """Set the framework."""
        return self.set(framework=name)

    def image(self, image: str) -> Self:
        """Set the image."""
        return self.set(image=image)

    def workers(self, count: int) -> Self:
        """Set the number of pods."""
        return self.set(workers=count)

    def processes(self, count: int) -> Self:
        """Set the number of training processes in a pod."""
        return self.set(processesPerWorker=count)

    def command(self, *command: str) -> Self:
        """Set the command."""
        return self.set(command=list(command))

    def args(self, *args: str) -> Self:
        """Set the arguments."""
        return self.set(args=list(args))

    def env(self, **variables: str) -> Self:
        """Add environment variables."""
        self._spec.setdefault("env", []).extend({"name": k, "value": v} for k, v in variables.items())
        return self

    def source(self, **files: str) -> Self:
        """Carry Python files inline, `train=...` for train.py, and run train.py unless a command is set."""
        self._spec.setdefault("command", ["python3", "train.py"])
        return self.set(source={"inline": {f"{name}.py": text for name, text in files.items()}})

    def resources(self, **requests: str) -> Self:
        """Set the resource requests of the training container."""
        return self.set(resources={"requests": requests})

    def budget(self, restarts: int) -> Self:
        """Set restart.maxRestarts."""
        return self.set(restart={"maxRestarts": restarts})

    def checkpoint(self, volume: dict[str, Any]) -> Self:
        """Mount a volume for checkpoints."""
        return self.set(checkpoint={"volume": volume})

    def user(self, number: int) -> Self:
        """Run as this user, which an image of one's own needs in a namespace under the restricted standard."""
        return self.set(podTemplate={"spec": {"securityContext": {"runAsNonRoot": True, "runAsUser": number}}})

    def spread(self) -> Self:
        """Allow no two workers of this job on one node."""
        term = {
            "labelSelector": {"matchLabels": {"regatta.dev/job": self.name}},
            "topologyKey": "kubernetes.io/hostname",
        }
        affinity = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
        return self.set(scheduling={"affinity": affinity})

    def obj(self) -> dict[str, Any]:
        """The manifest; the namespace is given when it is applied."""
        return {
            "apiVersion": "regatta.dev/v1alpha1",
            "kind": "TrainingJob",
            "metadata": {"name": self.name},
            "spec": copy.deepcopy(self._spec),
        }


def job(name: str) -> JobBuilder:
    """Begin a job of one worker in the installation's own PyTorch image."""
    return JobBuilder(name)
