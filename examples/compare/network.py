"""The network of common.py in PyTorch, for the scripts that train it there."""

import torch
from common import CHANNELS, CLASSES, first_weights


class Network(torch.nn.Module):
    """Takes images as (N, 8, 8, 1), gives logits."""

    def __init__(self):
        super().__init__()
        self.convolution = torch.nn.Conv2d(1, CHANNELS, 3, padding=1)
        self.dense = torch.nn.Linear(4 * 4 * CHANNELS, CLASSES)
        kernel, bias, dense, dense_bias = map(torch.from_numpy, first_weights())
        with torch.no_grad():
            self.convolution.weight.copy_(kernel.permute(3, 2, 0, 1))
            self.convolution.bias.copy_(bias)
            self.dense.weight.copy_(dense.T)
            self.dense.bias.copy_(dense_bias)

    def forward(self, images):
        found = torch.relu(self.convolution(images.reshape(-1, 1, 8, 8)))  # of one channel, so no order changes
        pooled = torch.nn.functional.max_pool2d(found, 2)
        return self.dense(pooled.permute(0, 2, 3, 1).flatten(1))
