"""Hugging Face's Trainer with a BERT of two layers of eight numbers, made on the spot."""

import os
import time

import torch
from torch.utils.data import Dataset
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments


class Slow(Dataset):
    def __init__(self, size):
        self.size = size

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        time.sleep(0.002)
        return {"input_ids": torch.arange(6), "labels": torch.tensor(index % 2)}


if __name__ == "__main__":
    shape = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    model = BertForSequenceClassification(BertConfig(vocab_size=16, max_position_embeddings=16, **shape))
    arguments = TrainingArguments(
        output_dir="out",
        num_train_epochs=int(os.environ.get("EPOCHS", "2")),
        per_device_train_batch_size=8,
        save_steps=10,
        eval_strategy="epoch",
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
    )
    trainer = Trainer(model=model, args=arguments, train_dataset=Slow(80), eval_dataset=Slow(32))
    trainer.train(resume_from_checkpoint=os.path.isdir("out/checkpoint-10"))
