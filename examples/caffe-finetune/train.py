"""Fine-tune a Caffe model on digits, two of which it has never seen, on any number of processes.

deploy.prototxt and weights.caffemodel tell 0 to 7 apart. They become a PyTorch module, which first has to compute what
another program (OpenCV) computed with the same files; then its last layer is exchanged for one of ten outputs, and all
of it is trained. Ends with an error when it has not learned enough, so a job that succeeds has really trained.
"""

import argparse
import os

import numpy
import torch
import torch.distributed as dist
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

from regatta_runtime.caffe import load
from regatta_runtime.progress import report

TOLERANCE = 1e-4
LEARNING_RATE = 4e-3


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--epochs", type=int, default=8)
    options.add_argument("--batch-size", type=int, default=16, help="of one process")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--target", type=float, default=0.95, help="test accuracy to reach")
    options.add_argument("--from-scratch", action="store_true", help="forget the weights, to see what they are worth")
    options = options.parse_args()

    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    rank, world = dist.get_rank(), dist.get_world_size()
    device = torch.device("cpu")
    if torch.cuda.is_available():
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    torch.manual_seed(options.seed)

    net = load("deploy.prototxt", "weights.caffemodel")
    difference = compare(net)
    if rank == 0:
        print(f"largest difference to the reference: {difference:.1e}")
    if not difference <= TOLERANCE:
        raise SystemExit(f"the model does not compute what it should: {difference} is more than {TOLERANCE}")

    net.replace("ip2", nn.Linear(net.ip2.in_features, 10))
    net.replace("prob", nn.Identity())  # the loss below wants scores, not probabilities
    if options.from_scratch:
        net.apply(lambda module: getattr(module, "reset_parameters", int)())
    net.to(device)

    train, test = digits()
    sampler = DistributedSampler(train, seed=options.seed)
    loader = DataLoader(train, batch_size=options.batch_size, sampler=sampler)
    optimizer = torch.optim.AdamW(net.parameters(), lr=LEARNING_RATE)
    first_epoch = resume(net, optimizer, device)
    model = DistributedDataParallel(net)
    if rank == 0:
        print(f"{len(train)} images on {world} processes, starting at epoch {first_epoch}")

    accuracy = evaluate(net, test, device)
    for epoch in range(first_epoch, options.epochs):
        sampler.set_epoch(epoch)
        model.train()
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * (1 - epoch / options.epochs)
        for batch, (images, labels) in enumerate(loader, start=1):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images.to(device)), labels.to(device)).backward()
            optimizer.step()
            report(step=epoch * len(loader) + batch, total_steps=options.epochs * len(loader), epoch=epoch)
        accuracy = evaluate(net, test, device)
        if rank == 0:
            print(f"epoch {epoch + 1}/{options.epochs}: accuracy {accuracy:.4f}")
            save(net, optimizer, epoch + 1)

    if rank == 0:
        print(f"test accuracy: {accuracy:.4f}")
    dist.destroy_process_group()
    if accuracy < options.target:
        raise SystemExit(f"test accuracy {accuracy:.4f} is below {options.target}")


def compare(net):
    """Largest difference between the model's outputs and those that OpenCV computed."""
    reference = numpy.load("reference.npz")
    with torch.no_grad():
        mine = net(torch.from_numpy(reference["data"]))
    return (mine - torch.from_numpy(reference["prob"])).abs().max().item()


def digits():
    """1,797 photographs of 8 x 8 pixels, a fifth of them kept for the test: the fifth that the model never saw."""
    images, labels = load_digits(return_X_y=True)
    images = torch.tensor(images, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16 - 0.5
    parts = train_test_split(images, torch.tensor(labels), test_size=0.2, random_state=0, stratify=labels)
    return TensorDataset(parts[0], parts[2]), TensorDataset(parts[1], parts[3])


def evaluate(net, test, device):
    """Accuracy over the whole test set; each process looks at its share."""
    rank, world = dist.get_rank(), dist.get_world_size()
    images, labels = (part[rank::world].to(device) for part in test.tensors)
    net.eval()
    with torch.no_grad():
        right = (net(images).argmax(1) == labels).sum()
    counts = torch.stack([right, torch.tensor(len(labels), device=device)]).double()
    dist.all_reduce(counts)
    return (counts[0] / counts[1]).item()


def checkpoint_file():
    folder = os.environ.get("REGATTA_CHECKPOINT_DIR")
    return os.path.join(folder, "caffe-lenet.pt") if folder else None


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
    if dist.get_rank() == 0 and path and os.path.exists(path):
        state = torch.load(path, map_location=device, weights_only=True)
    box = [state]
    dist.broadcast_object_list(box, device=device)
    if box[0] is None:
        return 0
    net.load_state_dict(box[0]["net"])
    optimizer.load_state_dict(box[0]["optimizer"])
    return box[0]["epoch"]


if __name__ == "__main__":
    main()
