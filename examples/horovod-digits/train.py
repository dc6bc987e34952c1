"""Train a small convolutional network on scikit-learn's photographs of handwritten digits with Horovod and PyTorch.

Ordinary Horovod: hvd.init(), a DistributedOptimizer, the beginning broadcast by rank 0, a checkpoint after each epoch,
and going on from it after a restart. Ends with an error when it has not learned enough, so a job that succeeds has
really trained.
"""

import argparse
import os

import horovod.torch as hvd
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

try:  # shows in `regatta watch` how far it is; the script runs just as well without
    from regatta_runtime.progress import report
except ImportError:

    def report(**_):
        pass


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--epochs", type=int, default=8)
    options.add_argument("--batch-size", type=int, default=16, help="of one process")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--target", type=float, default=0.95, help="test accuracy to reach")
    options = options.parse_args()

    hvd.init()
    device = torch.device("cpu")
    if torch.cuda.is_available():
        device = torch.device("cuda", hvd.local_rank())
        torch.cuda.set_device(device)
    torch.manual_seed(options.seed)

    train, test = digits(options.seed)
    sampler = DistributedSampler(train, num_replicas=hvd.size(), rank=hvd.rank(), seed=options.seed)
    loader = DataLoader(train, batch_size=options.batch_size, sampler=sampler)
    net = network().to(device)
    optimizer = torch.optim.AdamW(net.parameters(), lr=4e-3)
    # Before its state is loaded: wrapping makes a new optimizer, without one.
    optimizer = hvd.DistributedOptimizer(optimizer, named_parameters=net.named_parameters())
    first_epoch = resume(net, optimizer, device)
    if hvd.rank() == 0:
        print(f"{len(train)} images on {hvd.size()} processes, starting at epoch {first_epoch}")

    for epoch in range(first_epoch, options.epochs):
        sampler.set_epoch(epoch)
        net.train()
        total = torch.zeros((), device=device)
        for batch, (images, labels) in enumerate(loader, start=1):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(net(images.to(device)), labels.to(device))
            loss.backward()
            optimizer.step()
            total += loss.detach()
            report(step=epoch * len(loader) + batch, total_steps=options.epochs * len(loader), epoch=epoch)
        mean = hvd.allreduce(total / len(loader), name="loss")
        if hvd.rank() == 0:
            print(f"epoch {epoch + 1}/{options.epochs}: loss {mean.item():.4f}")
            save(net, optimizer, epoch + 1)

    accuracy = evaluate(net, test, device)
    if hvd.rank() == 0:
        print(f"test accuracy: {accuracy:.4f}")
    if accuracy < options.target:
        raise SystemExit(f"test accuracy {accuracy:.4f} is below {options.target}")


def digits(seed):
    """1,797 photographs of 8 x 8 pixels, a fifth of them kept for the test."""
    images, labels = load_digits(return_X_y=True)
    images = torch.tensor(images, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16 - 0.5
    parts = train_test_split(images, torch.tensor(labels), test_size=0.2, random_state=seed, stratify=labels)
    return TensorDataset(parts[0], parts[2]), TensorDataset(parts[1], parts[3])


def network():
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * 4 * 4, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )


def evaluate(net, test, device):
    """Accuracy over the whole test set; each process looks at its share."""
    images, labels = (part[hvd.rank() :: hvd.size()].to(device) for part in test.tensors)
    net.eval()
    with torch.no_grad():
        right = (net(images).argmax(1) == labels).sum()
    counts = torch.stack([right, torch.tensor(len(labels), device=device)]).double()
    counts = hvd.allreduce(counts, name="accuracy", op=hvd.Sum)
    return (counts[0] / counts[1]).item()


def checkpoint_file():
    folder = os.environ.get("REGATTA_CHECKPOINT_DIR")
    return os.path.join(folder, "digits.pt") if folder else None


def save(net, optimizer, epoch):
    path = checkpoint_file()
    if path is None:
        return
    # Whole or not at all: a process that is killed while writing leaves the checkpoint before it.
    torch.save({"net": net.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch}, path + ".new")
    os.replace(path + ".new", path)


def resume(net, optimizer, device):
    """The epoch to begin with. Rank 0 reads and tells the others, so all agree whatever each of them can see."""
    path = checkpoint_file()
    state = None
    if hvd.rank() == 0 and path and os.path.exists(path):
        state = torch.load(path, map_location=device, weights_only=True)
    # Without a name it would be called after the object's type, which is another one where there is no file.
    state = hvd.broadcast_object(state, root_rank=0, name="checkpoint")
    if state is None:
        hvd.broadcast_parameters(net.state_dict(), root_rank=0)
        return 0
    net.load_state_dict(state["net"])
    optimizer.load_state_dict(state["optimizer"])
    return state["epoch"]


if __name__ == "__main__":
    main()
