"""A small network on digits that two feeds prepare; train.yaml and test.yaml say how to start them."""

import torch
from torch import nn

from regatta_runtime import data

torch.manual_seed(0)
train = data.torch_batches(feed="/dev/shm/digits-train")
test = data.torch_batches(feed="/dev/shm/digits-test")

model = nn.Sequential(
    nn.Conv2d(1, 16, 3, padding=1),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Conv2d(16, 32, 3, padding=1),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Flatten(),
    nn.Linear(512, 10),
)
optimizer = torch.optim.Adam(model.parameters(), 1e-3)
for _ in range(8):
    for images, labels in train:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()

with torch.no_grad():
    right = sum((model(images).argmax(1) == labels).sum().item() for images, labels in test)
print(f"accuracy {right / test.facts['samples']:.3f}")
