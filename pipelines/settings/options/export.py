"""The options of `search export`; the docstring of the class is its help."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from pipelines.settings.options.shared import Stored
from space.errors import UserError

Run = Annotated[str, Argument(help="Folder of weights, retraining, study, or run in MLflow.")]
OneDesign = Annotated[str | None, Option(help="Which design of a retraining; the first asked for if left out.")]


@dataclass(frozen=True, kw_only=True)
class ExportOptions(Stored):
    """Write a retrained network for use elsewhere: safetensors and design, torch.export and ONNX, checked."""

    run: Run
    into: Annotated[Path | None, Option(help="Folder to write; export/BACKBONE-DESIGN if left out.")] = None
    design: OneDesign = None
    onnx: Annotated[bool | None, Option("--onnx/--no-onnx", help="ONNX, too; where its packages are, if left out.")] = (
        None
    )
    folded: Annotated[
        bool, Option("--folded/--no-folded", help="torch.export's program folded for inference: equal, and faster.")
    ] = True
    int8: Annotated[
        bool, Option(help="An ONNX program in 8 bits, too, calibrated and judged by the validation images.")
    ] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.int8 and self.onnx is False:
            raise UserError("--int8 is made of ONNX; leave out --no-onnx")
