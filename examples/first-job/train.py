"""An ordinary PyTorch script that knows nothing of Regatta: fit a line to noisy points, on any number of processes."""

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
rank, world = dist.get_rank(), dist.get_world_size()

torch.manual_seed(rank)  # every process draws its own points of the same line
x = torch.rand(1000, 1)
y = 3 * x + 2 + 0.1 * torch.randn(1000, 1)

model = DistributedDataParallel(torch.nn.Linear(1, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
for step in range(200):
    optimizer.zero_grad()
    loss = torch.nn.functional.mse_loss(model(x), y)
    loss.backward()
    optimizer.step()
    if step % 50 == 0 and rank == 0:
        print(f"step {step}: loss {loss.item():.4f}")

weight, bias = model.module.weight.item(), model.module.bias.item()
print(f"process {rank} of {world}: y = {weight:.2f} x + {bias:.2f}")
dist.destroy_process_group()
assert abs(weight - 3) < 0.1, "the line should have slope 3"
assert abs(bias - 2) < 0.1, "and meet the axis at 2"
