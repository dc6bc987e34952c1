"""Lightning's Trainer with a tiny model: training, validation, and a checkpoint after each epoch."""

import glob
import os
import time
import warnings

import lightning
import torch
from torch.utils.data import DataLoader, Dataset

warnings.simplefilter("ignore")


class Slow(Dataset):
    def __init__(self, size):
        self.size = size

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        time.sleep(0.002)
        return torch.ones(3), torch.ones(1)


class Model(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(3, 1)

    def training_step(self, batch, index):
        images, labels = batch
        return ((self.layer(images) - labels) ** 2).mean()

    def validation_step(self, batch, index):
        self.log("loss", self.training_step(batch, index))

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters())


if __name__ == "__main__":
    epochs = int(os.environ.get("EPOCHS", "2"))
    trainer = lightning.Trainer(max_epochs=epochs, accelerator="cpu", logger=False, enable_progress_bar=False)
    found = glob.glob("checkpoints/*.ckpt")
    data, validation = DataLoader(Slow(80), batch_size=8), DataLoader(Slow(32), batch_size=8)
    trainer.fit(Model(), data, validation, ckpt_path=found[0] if found else None)
