"""The options of `search predict`; the docstring of the class is its help."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from pipelines.settings.options.export import OneDesign, Run
from pipelines.settings.options.shared import Stored, check_at_least_one


@dataclass(frozen=True, kw_only=True)
class PredictOptions(Stored):
    """What an exported or retrained network takes images for."""

    run: Run
    images: Annotated[tuple[Path, ...], Argument(help="Image files.")]
    top: Annotated[int, Option(help="Classes to print for each image.")] = 3
    design: OneDesign = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least_one(top=self.top)
