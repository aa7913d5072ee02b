"""The options that say what is trained on which images, and how."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from typer import Option

from pipelines.settings.options.shared import check_at_least_one, check_deployment, check_recipe
from space.errors import UserError
from trainers.metrics import METRICS

NORMALISATIONS = ("measured", "weights", "imagenet")

GateAt = Annotated[
    str | None,
    Option(
        help="Regular expression for the names of the modules whose outputs are gated, its groups telling the stages. "
        "Default: the last normalisation of each residual branch."
    ),
]
ReplaceAttention = Annotated[
    bool, Option(help="Take out the attention that a network carries itself, such as SE: plain is the network without.")
]
RecipeName = Annotated[str | None, Option(help="Named recipe, such as hard-digits, fine-tune, one-cycle or ras.")]
Download = Annotated[bool, Option(help="Fetch the data set if it is missing.")]
Device = Annotated[str, Option(help="auto, cpu or cuda.")]
Form = Annotated[
    str | None,
    Option(
        help="How trained networks will run, for which FPS, latency and memory are told: folded (default), eager, "
        "compiled or onnxruntime."
    ),
]
Dtype = Annotated[str | None, Option(help="In which type they will: float32 (default) or bfloat16.")]


@dataclass(frozen=True, kw_only=True)
class TaskOptions:
    """What is trained on which images, and how."""

    dataset: Annotated[
        str | None, Option(help="hard-digits (default), digits, cifar10, cifar100, stl10, imagenet or folder:PATH.")
    ] = None
    download: Download = False
    train_size: Annotated[int | None, Option(help="Images to train on.")] = None
    image_size: Annotated[int | None, Option(help="Pixels a side; the weights' size if left out.")] = None
    groups: Annotated[
        Path | None, Option(help="CSV file with columns file,group: images of a group stay in one split.")
    ] = None
    normalise: Annotated[
        str | None, Option(help="measured, weights (as those expect) or imagenet; weights where they say.")
    ] = None
    backbone: Annotated[
        str | None,
        Option(
            help="resnet20 (default) and others of `search backbones`, torchvision/NAME, timm/NAME, FILE.py:FACTORY or "
            "package.module:FACTORY; several, by commas, are a choice."
        ),
    ] = None
    gate_at: GateAt = None
    replace_attention: ReplaceAttention = False
    weights: Annotated[
        str | None,
        Option(help="Pretrained weights: FILE.safetensors, FILE.pt, or torchvision's or timm's name for some."),
    ] = None
    recipe: RecipeName = None
    epochs: Annotated[int | None, Option(help="Epochs of a training, instead of the recipe's.")] = None
    batch_size: Annotated[int | None, Option(help="Images a step, instead of the recipe's.")] = None
    accumulate: Annotated[
        int | None, Option(help="Parts that a batch is trained in, one after the other: less memory.")
    ] = None
    learning_rate: Annotated[float | None, Option(help="Its peak, instead of the recipe's.")] = None
    mixed_precision: Annotated[bool, Option(help="Train in bfloat16 where that is safe.")] = False
    compile: Annotated[bool, Option(help="Compile each training: a minute or more before it begins.")] = False
    no_augmentation: Annotated[bool, Option(help="Train on the images as they are.")] = False
    resized_crop: Annotated[
        bool | None,
        Option("--resized-crop/--plain-resize", help="Train on random parts of the images, or on all of them."),
    ] = None
    flip: Annotated[
        bool | None, Option("--flip/--no-flip", help="Mirror half of the images left to right, or none.")
    ] = None
    class_weights: Annotated[bool, Option(help="Weigh each class by the inverse of its share of the images.")] = False
    metric: Annotated[str | None, Option(help="What counts: accuracy (default), balanced_accuracy or macro_f1.")] = None
    objectives: Annotated[
        str | None, Option(help="Metric and costs, each cost making a front; accuracy,params,fps if left out.")
    ] = None
    device: Device = "auto"
    form: Form = None
    dtype: Dtype = None
    device_file: Annotated[
        Path | None,
        Option(help="File of `search calibrate` on the device that will run the network: speed is told for that."),
    ] = None

    def __post_init__(self) -> None:
        check_deployment(self.device, self.form, self.dtype)
        if self.metric not in (None, *METRICS):
            raise UserError(f"--metric {self.metric}: there are {', '.join(METRICS)}")
        if self.normalise not in (None, *NORMALISATIONS):
            raise UserError(f"--normalise {self.normalise}: there are {', '.join(NORMALISATIONS)}")
        check_recipe(self.recipe)
        check_at_least_one(epochs=self.epochs, train_size=self.train_size, image_size=self.image_size)
        check_at_least_one(batch_size=self.batch_size, accumulate=self.accumulate)
        if self.learning_rate is not None and not self.learning_rate > 0:
            raise UserError(f"--learning-rate {self.learning_rate:g}: a number above 0 is wanted")


@dataclass(frozen=True, kw_only=True)
class Changes:
    """What is wanted otherwise than in the paper."""

    epochs: Annotated[int | None, Option(help="Epochs, instead of the paper's.")] = None
    dataset: Annotated[str | None, Option(help="Data set instead of the paper's, with its own recipe.")] = None
    backbone: Annotated[str | None, Option(help="Backbone instead of the paper's.")] = None
    recipe: RecipeName = None
    train_size: Annotated[int | None, Option(help="Images to train on; all if left out.")] = None

    def __post_init__(self) -> None:
        check_recipe(self.recipe)
        check_at_least_one(epochs=self.epochs, train_size=self.train_size)

    @property
    def any(self) -> bool:
        """Whether there is one."""
        return self != Changes()
