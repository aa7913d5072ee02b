"""How a network is trained: a frozen recipe, and the recipes of the papers by name."""

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from space.errors import UserError

Schedule = Literal["one-cycle", "cosine", "milestones", "constant"]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """SGD with a schedule and batched augmentation.

    Attributes:
        epochs: passes over the training images.
        batch_size: images a step.
        learning_rate: the peak of one-cycle, else the start.
        momentum: of SGD; one-cycle swings it by 0.05 to both sides, against the rate.
        nesterov: Nesterov's momentum.
        weight_decay: L2 penalty, on every parameter.
        schedule: one-cycle (up for 30 % of the steps, then down by a cosine), cosine, milestones, or constant.
        milestones: epochs after which the rate is multiplied by `gamma`; see `drops`.
        gamma: see `milestones`.
        milestones_of: epochs of the training that the milestones are told for; None for `epochs`.
        crop_padding: pixels of zero padding before a random crop; 0 for none.
        resized_crop: train on random parts of the images, 8 to 100 % of their area, resized.
        flip: mirror half of the images.
        label_smoothing: share of the target spread over all classes.
        averaging: decay a step of an exponential average of the weights and BN statistics, which takes the network's
            place where it is judged or written; 0 for none.
        mixed_precision: forward and backward in bfloat16 where that is safe.
        compiled: whether forward and backward are compiled, which takes a minute or more before the first step.
        channels_last: memory layout; faster on CPU and on tensor cores.
        accumulate: parts of a batch that go through the network one after the other, their gradients added up: less
            memory, and BN normalises each by itself.
        clip_norm: largest norm of the gradient; None for no clipping.
        backbone_rate: factor on the learning rate of what came with pretrained weights; gates and classifier learn
            at the full one.
        class_weights: weigh the loss of each class by the inverse of its share of the training images.
    """

    epochs: int
    batch_size: int
    learning_rate: float = 0.1
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 1e-4
    schedule: Schedule = "milestones"
    milestones: tuple[int, ...] = ()
    gamma: float = 0.1
    milestones_of: int | None = None
    crop_padding: int = 4
    resized_crop: bool = False
    flip: bool = True
    label_smoothing: float = 0.0
    averaging: float = 0.0
    mixed_precision: bool = False
    compiled: bool = False
    channels_last: bool = True
    accumulate: int = 1
    clip_norm: float | None = None
    backbone_rate: float = 1.0
    class_weights: bool = False

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise UserError(f"--epochs {self.epochs}: at least one epoch is needed")
        if self.batch_size < 2:
            raise UserError(f"batch size {self.batch_size}: batch normalisation needs at least 2 images")

    @property
    def drops(self) -> tuple[int, ...]:
        """The milestones in proportion to the epochs: each once, and none before the first epoch or after the last."""
        scaled = {round(milestone * self.epochs / (self.milestones_of or self.epochs)) for milestone in self.milestones}
        return tuple(sorted(scaled.intersection(range(1, self.epochs))))

    def with_epochs(self, epochs: int) -> "Recipe":
        """The same recipe over another number of epochs, its milestones in proportion."""
        told_for = self.milestones_of or self.epochs
        return replace(self, epochs=epochs, milestones_of=told_for if self.milestones and epochs != told_for else None)

    def without_augmentation(self) -> "Recipe":
        """The same recipe on the images as they are (DIANet Table 9)."""
        return replace(self, crop_padding=0, resized_crop=False, flip=False)

    def to_dict(self) -> dict[str, Any]:
        """For JSON; `Recipe.from_dict` is the way back."""
        return {**asdict(self), "milestones": list(self.milestones)}

    def to_params(self) -> dict[str, Any]:
        """For lists of parameters that hold others, too."""
        return {f"recipe.{name}": value for name, value in self.to_dict().items()}

    @classmethod
    def from_dict(cls, table: dict[str, Any]) -> "Recipe":
        """The recipe that `to_dict` described."""
        return cls(**{**table, "milestones": tuple(table["milestones"])})


RECIPES: dict[str, Recipe] = {
    "digits": Recipe(epochs=20, batch_size=50, weight_decay=5e-4, schedule="one-cycle", crop_padding=1, flip=False),
    "hard-digits": Recipe(
        epochs=12,
        batch_size=25,
        weight_decay=5e-4,
        schedule="one-cycle",
        crop_padding=1,
        flip=False,
        averaging=0.97,
    ),
    "fine-tune": Recipe(
        epochs=10,
        batch_size=32,
        learning_rate=0.02,
        backbone_rate=0.1,
        schedule="cosine",
        nesterov=True,
        crop_padding=0,
        resized_crop=True,
    ),
    "one-cycle": Recipe(epochs=30, batch_size=128, weight_decay=5e-4, schedule="one-cycle", nesterov=True),
    "ras": Recipe(epochs=164, batch_size=128, milestones=(81, 122)),
    "ras-stl10": Recipe(epochs=164, batch_size=16, milestones=(81, 122)),
    "dianet-resnet": Recipe(epochs=180, batch_size=128, milestones=(60, 120)),
    "dianet-preresnet": Recipe(epochs=164, batch_size=128, milestones=(81, 122)),
    "dianet-wrn": Recipe(epochs=200, batch_size=128, weight_decay=5e-4, milestones=(80, 120, 160), gamma=0.2),
    "dianet-resnext": Recipe(epochs=300, batch_size=128, weight_decay=5e-4, milestones=(150, 225)),
    "dianet-imagenet": Recipe(epochs=120, batch_size=256, milestones=(30, 60, 90), crop_padding=0, resized_crop=True),
}
"""RAS: Section 3.1 of the paper. DIANet: Tables 10 and 11. The first four are for searching; fine-tune is for
pretrained weights."""


def recipe(name: str) -> Recipe:
    """The recipe of this name.

    Raises:
        UserError: an unknown name.
    """
    if name not in RECIPES:
        raise UserError(f"no recipe {name!r}; there are {', '.join(RECIPES)}")
    return RECIPES[name]
