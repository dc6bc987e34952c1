"""The comparison in Horovod on PyTorch: its optimizer averages the gradients of all processes."""

import horovod.torch as hvd
import torch
from common import EPOCHS, RATE, STEPS, data, part, say
from network import Network


def main():
    hvd.init()
    rank, world = hvd.rank(), hvd.size()
    images, labels = map(torch.from_numpy, data())
    model = Network()
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    optimizer = hvd.DistributedOptimizer(optimizer, named_parameters=model.named_parameters())
    hvd.broadcast_parameters(model.state_dict(), root_rank=0)
    for epoch in range(EPOCHS):
        total = torch.zeros(())
        for step in range(STEPS):
            mine = part(step, rank, world)
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(images[mine]), labels[mine])
            loss.backward()
            optimizer.step()
            total += loss.detach() / STEPS
        total = hvd.allreduce(total)
        if rank == 0:
            say(epoch, total.item())


if __name__ == "__main__":
    main()
