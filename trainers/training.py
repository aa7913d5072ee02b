"""One network being trained: an epoch a step, resumable to the same numbers."""

import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel

from space.errors import UserError
from space.files import written_whole
from space.identity import Identity
from space.seeds import mix_seed
from trainers.augment import random_crop, random_flip
from trainers.averaging import Average
from trainers.data import Data
from trainers.images import Images
from trainers.metrics import confusion, scores
from trainers.recipe import Recipe
from trainers.schedules import scheduler, steps_per_epoch
from trainers.share import ALONE, Share

EVALUATION_BATCH = 256

Judge = Literal["val", "test", "test each epoch"]
"""On which images a network is judged: "test" only after the last epoch, the others after each."""


class Training:
    """Trains a network by a recipe and judges it on the validation or the test images.

    All that is random in an epoch is drawn from the seed and the epoch's number. So a training
    interrupted and resumed after any epoch gives, on CPU, bit for bit the numbers of one that ran
    through.

    Args:
        network: freshly initialised, on the device.
        data: on the device.
        recipe: how to train.
        seed: of shuffling, augmentation and dropout.
        device: where network and data are.
        judge: on which images, and when.
        weights_path: safetensors file that the trained weights are written to, whole or not at all; None for none.
        identity: written beside them; None for none.
        pretrained: parameters that came with weights, and learn at the recipe's `backbone_rate`.
        share: of this process, which has joined the others, if it trains together with them.

    Raises:
        UserError: too few images, or a network in which nothing learns.
    """

    def __init__(
        self,
        network: nn.Module,
        data: Data,
        recipe: Recipe,
        seed: int,
        device: torch.device,
        *,
        judge: Judge = "val",
        weights_path: Path | None = None,
        identity: Identity | None = None,
        pretrained: Sequence[nn.Parameter] = (),
        share: Share = ALONE,
    ) -> None:
        self.epoch = 0
        self._data = data
        self._recipe = recipe
        self._seed = seed
        self._device = device
        self._judge_on = judge
        self._weights_path = weights_path
        self._identity = identity
        self._layout = torch.channels_last if recipe.channels_last else torch.contiguous_format
        self._network = network.to(memory_format=self._layout)
        self._share = share
        self._batch_size = share.batch(recipe.batch_size)
        self._normalise = data.normaliser(device)
        self._class_weights = _class_weights(data).to(device) if recipe.class_weights else None
        learning, slow = trainable(network), {id(parameter) for parameter in pretrained}
        groups: list[dict[str, Any]] = [{"params": [p for p in learning if id(p) not in slow]}]
        if slow:
            rate = recipe.learning_rate * recipe.backbone_rate
            groups.append({"params": [p for p in learning if id(p) in slow], "lr": rate})
        self._optimizer = torch.optim.SGD(
            groups,
            lr=recipe.learning_rate,
            momentum=recipe.momentum,
            nesterov=recipe.nesterov,
            weight_decay=recipe.weight_decay,
            fused=True,
        )
        self._scheduler = scheduler(recipe, self._optimizer, steps_per_epoch(recipe, len(data.train.labels), share))
        self._trained = self._network if share.alone else DistributedDataParallel(self._network)
        if recipe.compiled:
            torch.compiler.reset()  # it keeps a few networks, by the code that they have in common
            compiled = torch.compile(self._trained)
            assert isinstance(compiled, nn.Module)
            self._trained = compiled
        self._average = Average(network, recipe.averaging) if recipe.averaging else None
        self._parts = recipe.accumulate

    @property
    def done(self) -> bool:
        """Whether all epochs are trained."""
        return self.epoch >= self._recipe.epochs

    def step(self) -> dict[str, float]:
        """Train one epoch and judge the network.

        Returns:
            epoch (counted from 1), seconds, train_loss, train_accuracy, and where it was judged
            val_loss and val_accuracy, val_balanced_accuracy, val_macro_f1, or the same of test; all from 0 to 1 but
            the losses. And `accumulate`, where that is not the recipe's.

        Raises:
            FloatingPointError: a loss is no longer a finite number.
        """
        started = time.perf_counter()
        cuda = [self._device] if self._device.type == "cuda" else []
        with torch.random.fork_rng(cuda):
            torch.manual_seed(mix_seed(self._seed, self.epoch))
            loss, accuracy = self._train_epoch()
        self.epoch += 1
        report = {"epoch": float(self.epoch), "train_loss": loss, "train_accuracy": accuracy}
        if not self._share.leads:
            return report
        if self._judge_on == "val":
            report |= {f"val_{name}": value for name, value in self._judge(self._data.val).items()}
        elif self.done or self._judge_on == "test each epoch":
            report |= {f"test_{name}": value for name, value in self._judge(self._data.test).items()}
        broken = [name for name, value in report.items() if not math.isfinite(value)]
        if broken:
            raise FloatingPointError(f"{broken[0]} is {report[broken[0]]} in epoch {self.epoch}")
        if self.done and self._weights_path is not None:
            self._write_weights(self._weights_path)
        if self._parts != self._recipe.accumulate:
            report["accumulate"] = float(self._parts)
        report["seconds"] = time.perf_counter() - started
        return report

    def halve_batches(self) -> None:
        """From the next step on each batch goes through the network in twice as many parts, in less memory."""
        self._parts *= 2

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on: tensors and plain values."""
        return {
            "epoch": self.epoch,
            "parts": self._parts,
            "network": self._network.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "scheduler": self._scheduler.state_dict(),
            **({} if self._average is None else {"average": self._average.state_dict()}),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where `state_dict` was taken."""
        self.epoch = state["epoch"]
        self._parts = state["parts"]
        self._network.load_state_dict(state["network"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._scheduler.load_state_dict(state["scheduler"])
        if self._average is not None:
            self._average.load_state_dict(state["average"])

    @property
    def _judged(self) -> nn.Module:
        """The network that is judged and written: the average of all, where the recipe has one."""
        return self._network if self._average is None else self._average.network

    def _train_epoch(self) -> tuple[float, float]:
        self._network.train()
        recipe, train = self._recipe, self._data.train
        sums = torch.zeros(2, device=self._device)  # of losses, and of right answers
        order, seen = self._order()
        for images, labels in train.batches(order, self._batch_size, recipe.resized_crop):
            self._optimizer.zero_grad()
            weight, count = self._whole(labels)
            for part, answers in self._in_parts(self._augmented(images), labels):
                logits = self._logits(self._trained, part)
                loss = self._loss(logits, answers) / weight
                (loss * self._share.world).backward()  # of the shares' gradients it is the mean that is taken
                sums[0] += loss.detach() * count
                sums[1] += (logits.detach().argmax(1) == answers).sum()
            if recipe.clip_norm is not None:
                nn.utils.clip_grad_norm_(self._network.parameters(), recipe.clip_norm)
            self._optimizer.step()
            self._scheduler.step()
            if self._average is not None:
                self._average.update()
        loss_sum, correct = self._share.total(sums).tolist()
        return loss_sum / seen, correct / seen

    def _order(self) -> tuple[Tensor, int]:
        """The images of an epoch that this share has, in their order, and how many all have.

        What is random from then on differs from share to share.
        """
        size = self._recipe.batch_size
        order = torch.randperm(len(self._data.train.labels))
        if 0 < (rest := len(order) % size) < self._share.least:
            order = order[:-rest]  # a BN over (B, C) cannot train on one image
        if not self._share.alone:
            torch.manual_seed(mix_seed(self._seed, self.epoch, self._share.rank))
        return self._share.of(order, size), len(order)

    def _whole(self, labels: Tensor) -> tuple[Tensor | int, Tensor | int]:
        """Of the batch that this share (B,) is of: what its summed loss is divided by, and its images."""
        weight = len(labels) if self._class_weights is None else self._class_weights[labels].sum()
        if self._share.alone:
            return weight, len(labels)
        both = torch.tensor([float(weight), len(labels)], device=self._device)
        weight_of_all, count = self._share.total(both)
        return weight_of_all, count

    def _in_parts(self, images: Tensor, labels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """A batch in its parts, none of a single image: see `_train_epoch`."""
        parts = max(1, min(self._parts, len(labels) // 2))
        return zip(images.tensor_split(parts), labels.tensor_split(parts), strict=True)

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Summed over images."""
        smoothing = self._recipe.label_smoothing
        return cross_entropy(logits, labels, self._class_weights, reduction="sum", label_smoothing=smoothing)

    def _augmented(self, images: Tensor) -> Tensor:
        if self._recipe.crop_padding:
            images = random_crop(images, self._recipe.crop_padding)
        return random_flip(images) if self._recipe.flip and self._data.mirrors else images

    @torch.inference_mode()
    def _judge(self, images: Images) -> dict[str, float]:
        network = self._judged.eval()
        count, num_classes, loss_sum = len(images.labels), len(self._data.classes), 0.0
        counts = torch.zeros((num_classes, num_classes), dtype=torch.int64, device=self._device)
        for batch, labels in images.batches(torch.arange(count), max(1, EVALUATION_BATCH // self._parts)):
            logits = self._logits(network, batch)
            loss_sum += float(cross_entropy(logits, labels, reduction="sum"))
            counts += confusion(labels, logits.argmax(1), num_classes)
        return {"loss": loss_sum / count, **scores(counts)}

    def _write_weights(self, path: Path) -> None:
        metadata = None if self._identity is None else self._identity.metadata()
        with written_whole(path) as partial:
            save_file(_portable(self._judged.state_dict()), partial, metadata)

    def _logits(self, network: nn.Module, images: Tensor) -> Tensor:
        normalised = self._normalise(images).contiguous(memory_format=self._layout)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._recipe.mixed_precision):
            logits: Tensor = network(normalised)
        return logits.float()


def _portable(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights as safetensors takes them: a shared one written under each of its names, in the usual layout."""
    return {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in state.items()}


def trainable(network: nn.Module) -> list[nn.Parameter]:
    """The parameters that learn: a user's network may have frozen others.

    Raises:
        UserError: there is none.
    """
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if not learning:
        raise UserError("all parameters of the network are frozen; let at least its last layer learn")
    return learning


def _class_weights(data: Data) -> Tensor:
    """(K,): the inverse of each class's share of the training images, 1 where all have as many."""
    counts = torch.bincount(data.train.labels.cpu(), minlength=len(data.classes))
    return counts.sum() / (len(counts) * counts.clamp(min=1))
