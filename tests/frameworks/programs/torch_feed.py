"""A PyTorch loop over batches of Regatta's own feed."""

import torch

from regatta_runtime import data

model = torch.nn.Linear(3 * 16 * 16, 2)
optimizer = torch.optim.Adam(model.parameters())
for images, labels in data.torch_batches():
    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(model(images.flatten(1)), labels % 2).backward()
    optimizer.step()
