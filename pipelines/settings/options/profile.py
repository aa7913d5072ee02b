"""The options of `search profile`; the docstring of the class is its help."""

from dataclasses import dataclass
from typing import Annotated

from typer import Argument, Option

from pipelines.settings.options.of_a_space import Channels, NumClasses
from pipelines.settings.options.shared import (
    Options,
    check_at_least_one,
    check_deployment,
    check_designs,
)
from pipelines.settings.options.task import Device, Dtype, Form, GateAt, ReplaceAttention
from space.errors import UserError


@dataclass(frozen=True, kw_only=True)
class ProfileOptions(Options):
    """What a design costs: parameters, MACs for an image, FPS, latency, memory."""

    designs: Annotated[
        tuple[str, ...],
        Argument(help="Such as ras, se:reduction=8 or ras:depth=3,connection=tanh; several with --verify."),
    ] = ()
    backbone: Annotated[str, Option(help="Such as resnet164, torchvision/resnet50, timm/NAME or FILE.py:FACTORY.")] = (
        "resnet20"
    )
    gate_at: GateAt = None
    replace_attention: ReplaceAttention = False
    show_gates: Annotated[bool, Option(help="Where gates would sit: module, stage, channels, resolution.")] = False
    num_classes: NumClasses = 10
    channels: Channels = 3
    image_size: Annotated[
        int | None, Option(help="Pixels a side; 32, or 224 for a network of stride 32, if left out.")
    ] = None
    device: Device = "auto"
    form: Form = None
    dtype: Dtype = None
    no_measuring: Annotated[bool, Option("--no-fps/--fps", help="Leave out what is measured, such as FPS.")] = False
    verify: Annotated[
        str | None,
        Option(
            help="fps, latency or memory: what the parts of networks predict, beside whole networks as measured. Of 30 "
            "designs of the small space where none is given."
        ),
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_designs(self.designs)
        if len(self.designs) > 1 and self.verify is None:
            raise UserError("profile tells of one design; give several with --verify COST")
        check_deployment(self.device, self.form, self.dtype)
        check_at_least_one(num_classes=self.num_classes, channels=self.channels, image_size=self.image_size)
