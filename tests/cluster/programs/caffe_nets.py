"""Loads every network in nets.zip, and prints how far its outputs are from those beside it.

Also trains one step, to see that every parameter learns, and reads files that were damaged on purpose.
"""

import json
import pathlib
import random
import tempfile
import zipfile

import numpy
import torch

from regatta_runtime.caffe import CaffeError, load


def main():
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile("nets.zip") as packed:
            packed.extractall(folder)
        nets = sorted(pathlib.Path(folder).iterdir())
        facts = {
            "differences": {net.name: difference(net) for net in nets},
            "untrained": {net.name: untrained(net) for net in nets},
            "refused": refused(nets[0]),
            "damaged": {net.name: damaged(net, random.Random(0)) for net in nets},
        }
    print("RESULT", json.dumps(facts))


def read(net):
    return load(str(net / "deploy.prototxt"), str(net / "weights.caffemodel"))


def outputs_of(model, net):
    inputs = numpy.load(net / "inputs.npz")
    found = model(*(torch.from_numpy(inputs[name]) for name in model.inputs))
    return found if isinstance(found, dict) else {model.outputs[0]: found}


def difference(net):
    """Largest difference of any output, or what is wrong with them."""
    wanted = numpy.load(net / "outputs.npz")
    with torch.no_grad():
        found = outputs_of(read(net), net)
    if {name: tuple(each.shape) for name, each in found.items()} != {name: wanted[name].shape for name in wanted.files}:
        return f"other outputs: { {name: tuple(each.shape) for name, each in found.items()} }"
    return max((found[name] - torch.from_numpy(wanted[name])).abs().max().item() for name in wanted.files)


def untrained(net):
    """Parameters without a gradient after a backward pass in training mode."""
    model = read(net).train()
    total = sum((each * torch.rand_like(each)).sum() for each in outputs_of(model, net).values())
    if total.requires_grad:
        total.backward()
    return [name for name, parameter in model.named_parameters() if parameter.grad is None]


def refused(net):
    """What is said of definitions that cannot be loaded with these weights."""
    whole = (net / "deploy.prototxt").read_text()
    changes = {
        "unknown layer": ('"AbsVal"', '"Imaginary"'),
        "unknown setting": ("relu_param { ", "relu_param { sharpness: 3 "),
        "no weights": ('name: "prelu"', 'name: "other"'),
    }
    words = {}
    for title, (before, after) in changes.items():
        changed = net / "changed.prototxt"
        changed.write_text(whole.replace(before, after))
        try:
            load(str(changed), str(net / "weights.caffemodel"))
        except CaffeError as problem:
            words[title] = f"{type(problem).__name__}: {problem}"
    return words


def damaged(net, rng):
    """What came of broken copies that was neither a model nor a CaffeError; none of it may take long or much."""
    whole = (net / "weights.caffemodel").read_bytes()
    wrong = []
    for _ in range(20):
        broken = bytearray(whole)
        if rng.random() < 0.5:
            del broken[rng.randrange(len(broken)) :]
        else:
            for _ in range(rng.randint(1, 8)):
                broken[rng.randrange(len(broken))] = rng.randrange(256)
        copy = net / "broken.caffemodel"
        copy.write_bytes(broken)
        try:
            load(str(net / "deploy.prototxt"), str(copy))
        except CaffeError:
            pass
        except Exception as problem:
            wrong.append(f"{type(problem).__name__}: {problem}")
    return wrong


if __name__ == "__main__":
    main()
