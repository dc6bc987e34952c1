"""The comparison in PyTorch: DistributedDataParallel over all processes of all workers."""

import torch
import torch.distributed as dist
from common import EPOCHS, RATE, STEPS, data, part, say
from network import Network
from torch.nn.parallel import DistributedDataParallel


def main():
    dist.init_process_group("gloo")
    rank, world = dist.get_rank(), dist.get_world_size()
    images, labels = map(torch.from_numpy, data())
    model = DistributedDataParallel(Network())
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    for epoch in range(EPOCHS):
        total = torch.zeros(())
        for step in range(STEPS):
            mine = part(step, rank, world)
            loss = torch.nn.functional.cross_entropy(model(images[mine]), labels[mine])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.detach() / STEPS / world
        dist.all_reduce(total)
        if rank == 0:
            say(epoch, total.item())
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
