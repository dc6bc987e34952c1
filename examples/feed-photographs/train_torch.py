"""Learn which picture a photograph shows: PyTorch, with batches that the job's feed has finished."""

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torchvision import datasets
from torchvision.transforms import v2

from regatta_runtime import data

dist.init_process_group("gloo")
torch.manual_seed(0)

train = data.torch_batches()  # float32 of 16x3x224x224 and int64 of 16: the pipeline of the job's manifest
model = DistributedDataParallel(
    nn.Sequential(
        nn.Conv2d(3, 16, 7, stride=4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(256, 10),
    )
)
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)

for epoch in range(train.epochs):
    for images, labels in train:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
    print(f"epoch {epoch + 1}: loss {loss.item():.3f}", flush=True)

# The test pictures are read by torchvision itself, so what the feed does is measured by somebody else.
evaluation = v2.Compose(
    [
        v2.PILToTensor(),
        v2.Resize([224, 224]),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ]
)
images, labels = zip(*datasets.ImageFolder("/data/test", evaluation), strict=True)
with torch.no_grad():
    right = model.module(torch.stack(images)).argmax(1) == torch.tensor(labels)
accuracy = right.double().mean().item()
print(f"test accuracy: {accuracy:.4f}")
dist.destroy_process_group()
if accuracy < 0.9:
    raise SystemExit(f"test accuracy {accuracy:.4f} is below 0.9")
