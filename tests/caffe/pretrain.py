"""Makes the model of examples/caffe-finetune: `python -m tests.caffe.pretrain`, where torch and scikit-learn are, too.

Trains the network on the digits 0 to 7 of the example's training images (never on its test images), writes the weights
as Caffe does, and beside them what OpenCV computes with both files for some test images.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

from tests.caffe.nets import computed
from tests.caffe.writer import NetWriter

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "caffe-finetune"
KNOWN = 8
REFERENCES = 32


def network() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16 * 4 * 4, 32),
        nn.ReLU(),
        nn.Linear(32, KNOWN),
    )


def caffemodel(net: nn.Sequential) -> bytes:
    written = NetWriter({})
    for name, kind, at in (
        ("conv1", "Convolution", 0),
        ("conv2", "Convolution", 2),
        ("ip1", "InnerProduct", 6),
        ("ip2", "InnerProduct", 8),
    ):
        written.add(kind, name, [], blobs=[each.detach().numpy() for each in net[at].parameters()])
    return written.caffemodel


def main() -> None:
    """Train, write, and say how good it is."""
    torch.manual_seed(0)
    images, labels = load_digits(return_X_y=True)
    images = images.astype(np.float32).reshape(-1, 1, 8, 8) / 16 - 0.5
    # The same split as in the example.
    train, test, train_labels, test_labels = train_test_split(
        images, labels, test_size=0.2, random_state=0, stratify=labels
    )
    train, train_labels = (torch.from_numpy(part[train_labels < KNOWN]) for part in (train, train_labels))
    known, known_labels = (torch.from_numpy(part[test_labels < KNOWN]) for part in (test, test_labels))
    net = network()
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3)
    for _ in range(30):
        for batch in torch.randperm(len(train)).split(32):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(train[batch]), train_labels[batch].long()).backward()
            optimizer.step()
    accuracy = (net(known).argmax(1) == known_labels).float().mean().item()
    print(f"{len(train)} images, accuracy on {len(known)} others: {accuracy:.4f}")

    weights = caffemodel(net)
    (EXAMPLE / "weights.caffemodel").write_bytes(weights)
    data = test[:REFERENCES]
    outputs = computed((EXAMPLE / "deploy.prototxt").read_text(), weights, {"data": data}, ["prob"])
    np.savez(EXAMPLE / "reference.npz", data=data, prob=outputs["prob"])
    print(f"{len(weights):,} bytes of weights")


if __name__ == "__main__":
    main()
