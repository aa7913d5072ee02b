"""The options that commands about networks share that look at no study."""

from dataclasses import dataclass
from typing import Annotated

from typer import Option

from pipelines.settings.options.shared import (
    Options,
    check_at_least_one,
    check_deployment,
)
from pipelines.settings.options.task import Device, Dtype, Form

NumClasses = Annotated[int, Option(help="Outputs of the classifier.")]
Channels = Annotated[int, Option(help="Channels of an image.")]


@dataclass(frozen=True, kw_only=True)
class OfASpace(Options):
    """A space, and what its networks are for."""

    space: Annotated[str, Option(help="small, papers, full or a TOML file.")] = "small"
    backbone: Annotated[str, Option(help="One or several, by commas.")] = "resnet20"
    num_classes: NumClasses = 10
    channels: Channels = 3
    image_size: Annotated[int, Option(help="Pixels a side.")] = 32
    device: Device = "auto"
    form: Form = None
    dtype: Dtype = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_deployment(self.device, self.form, self.dtype)
        check_at_least_one(num_classes=self.num_classes, channels=self.channels, image_size=self.image_size)
