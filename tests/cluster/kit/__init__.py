"""What tests of the real cluster are written with: jobs to apply, a place to apply them, ways to break things."""

from tests.cluster.kit import audit, release
from tests.cluster.kit.api import Api, Refused
from tests.cluster.kit.command import Command
from tests.cluster.kit.helm import Helm, HelmError
from tests.cluster.kit.installation import Installation
from tests.cluster.kit.jobs import JobBuilder, job
from tests.cluster.kit.playground import Playground
from tests.cluster.kit.processes import container_processes, kill, main_process, training_process
from tests.cluster.kit.programs import program, results
from tests.cluster.kit.recorder import PodRecorder
from tests.cluster.kit.waiting import wait_for

__all__ = [
    "Api",
    "Command",
    "Helm",
    "HelmError",
    "Installation",
    "JobBuilder",
    "Playground",
    "PodRecorder",
    "Refused",
    "audit",
    "container_processes",
    "job",
    "kill",
    "main_process",
    "program",
    "release",
    "results",
    "training_process",
    "wait_for",
]
