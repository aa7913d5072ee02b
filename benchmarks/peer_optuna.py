"""The loop that people write by hand: Optuna, a DataLoader with transforms, MLflow; for benchmarks/launch.py.

The networks are those that `benchmarks.by_the_book` builds, since no library has them; all else is as the libraries'
documentation shows it.
"""

import sys
import tempfile
from collections.abc import Iterator

import mlflow
import numpy as np
import optuna
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from benchmarks.by_the_book import by_the_book
from space.backbones import backbone
from space.build import build
from space.design import Design

EPOCHS, BATCH, TRAIN, VAL = 9, 50, 200, 798


class Digits(Dataset[tuple[Tensor, int]]):
    """scikit-learn's digits, transformed one by one."""

    def __init__(self, start: int, count: int, transform: v2.Transform) -> None:
        digits = load_digits()
        order = np.random.default_rng(0).permutation(len(digits.images))[start : start + count]
        self.images = (digits.images[order] * 15).astype(np.uint8)
        self.labels = digits.target[order].tolist()
        self.transform = transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(self.images[index][:, :, None]), self.labels[index]


def loaders() -> tuple[DataLoader[tuple[Tensor, int]], DataLoader[tuple[Tensor, int]]]:
    """Of the images to train on and of those to judge on."""
    ready = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize((0.3,), (0.37,))]
    train = Digits(0, TRAIN, v2.Compose([v2.ToImage(), v2.RandomCrop(8, padding=1), *ready[1:]]))
    val = Digits(TRAIN, VAL, v2.Compose(ready))
    return DataLoader(train, BATCH, shuffle=True), DataLoader(val, 256)


def network_of(attention: str, reduction: int) -> nn.Module:
    """With what the trial decided on."""
    it = backbone("resnet11")
    if attention == "none":
        return build(Design(), it, 10, 1)
    design = Design.parse(f"{attention}:reduction={reduction}" if attention in ("se", "dia") else attention)
    return by_the_book(design, it, 10, in_channels=1)


def trained(network: nn.Module) -> Iterator[float]:
    """The validation accuracy after each epoch."""
    train, val = loaders()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=EPOCHS * len(train))
    for _ in range(EPOCHS):
        network.train()
        for images, labels in train:
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(images), labels).backward()
            optimizer.step()
            schedule.step()
        network.eval()
        with torch.no_grad():
            correct = sum(int((network(images).argmax(1) == labels).sum()) for images, labels in val)
        yield correct / VAL


def objective(trial: optuna.Trial) -> tuple[float, float]:
    """Validation accuracy and parameters."""
    attention = trial.suggest_categorical("attention", ["none", "se", "ras", "dia"])
    network = network_of(attention, trial.suggest_categorical("reduction", [4, 8, 16]))
    size = sum(parameter.numel() for parameter in network.parameters())
    with mlflow.start_run(nested=True):
        mlflow.log_params(trial.params)
        for epoch, accuracy in enumerate(trained(network)):
            mlflow.log_metric("val_accuracy", accuracy, step=epoch)
        mlflow.log_metric("num_params", size)
    return accuracy, size


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = optuna.create_study(storage=f"sqlite:///{folder}/optuna.db", directions=["maximize", "minimize"])
        with mlflow.start_run():
            study.optimize(objective, n_trials=int(sys.argv[1]))
