"""Equal footing: the same network on the same data learns alike in every framework, on any number of processes.

What a later comparison of frameworks measures is then their speed, and not that one of them trains something else.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cluster.kit import JobBuilder, Playground, job

pytestmark = pytest.mark.cluster

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "compare"
TOLERANCE = 1e-5
"""Of losses between 0.2 and 2, in float32; the curves were 3e-7 apart where they were measured."""
PATIENCE = 300
ONE, WIDE, LONG, BOTH = (1, 1), (1, 2), (2, 1), (2, 2)
"""Workers, and processes of each."""
LAYOUTS = {
    "PyTorch": (ONE, WIDE, LONG, BOTH),
    "Horovod": (ONE, WIDE, LONG, BOTH),
    "Keras on torch": (ONE, WIDE, LONG, BOTH),
    # One process of a worker drives all its devices. On CPUs MultiWorkerMirroredStrategy uses one of each worker.
    "TensorFlow": (ONE, WIDE, LONG),
    "Keras on tensorflow": (ONE, LONG),
}


def curve(log: str) -> list[float]:
    """The loss of each epoch."""
    return [float(loss) for _, loss in re.findall(r"epoch (\d+) loss (\d+\.\d+)", log)]


def trainer(which: str, layout: tuple[int, int], name: str) -> JobBuilder:
    workers, processes = layout
    framework, _, backend = which.partition(" on ")
    builder = job(name).framework(framework).workers(workers).resources(cpu="50m", memory="256Mi")
    builder.source(**{path.stem: path.read_text() for path in EXAMPLE.glob("*.py")})
    builder.command("python", f"train_{framework.lower()}.py")
    if backend:
        builder.set(kerasBackend=backend)
    return builder.env(DEVICES=str(processes)) if framework == "TensorFlow" else builder.processes(processes)


def test_every_framework_and_every_layout_learns_along_the_same_curve(playground: Playground) -> None:
    curves: dict[str, list[float]] = {}
    for which, layouts in LAYOUTS.items():  # all of one at a time: together they would only wait for each other
        names = {f"{which.lower().replace(' ', '-')}-{layout[0]}x{layout[1]}": layout for layout in layouts}
        for name, layout in names.items():
            playground.apply(trainer(which, layout, name))
        for name in names:
            playground.wait_phase(name, "Succeeded", timeout=PATIENCE)
            curves[name] = curve(playground.log(playground.pods(name)[0]["metadata"]["name"]))

    reference = curves["pytorch-1x1"]
    assert len(reference) == 6
    assert reference[-1] < 0.25 < 1.8 < reference[0]  # it learns
    apart = {name: max(abs(a - b) for a, b in zip(losses, reference, strict=True)) for name, losses in curves.items()}
    print(apart)
    assert max(apart.values()) < TOLERANCE, apart
