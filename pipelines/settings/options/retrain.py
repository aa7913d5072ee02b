"""The options of `search retrain`; the docstring of the class is its help."""

from dataclasses import dataclass, field
from typing import Annotated

from typer import Option

from pipelines.settings.options.shared import (
    RunOptions,
    Study,
    check_at_least_one,
    check_designs,
    check_recipe,
)
from pipelines.settings.options.task import (
    RecipeName,
)
from space.errors import UserError

LEARNT_FROM = ("train", "train+val")
"""Images that a retraining may learn from."""


@dataclass(frozen=True, kw_only=True)
class RetrainOptions:
    """Train the best designs in full, several seeds each; read the test images once.

    The plain backbone is always trained too. The same command goes on where it stopped.
    """

    study: Study = None
    top: Annotated[
        int | None,
        Option(help="The N most accurate designs of the fronts, then of the others. Default: --top 3."),
    ] = None
    knee: Annotated[
        bool, Option(help="The design of the first cost's front farthest above the line between its two ends.")
    ] = False
    design: Annotated[tuple[str, ...], Option(help="A design by its text; may be given several times.")] = ()
    seeds: Annotated[int, Option(help="Trainings of each design; more extend a retraining.")] = 3
    on: Annotated[
        str | None,
        Option(
            help="Images to learn from: train, as the search did, or train+val. Default: train+val, but train where "
            "val has more images, since many more make another task."
        ),
    ] = None
    recipe: RecipeName = None
    epochs: Annotated[int | None, Option(help="Epochs, instead of the recipe's.")] = None
    register: Annotated[
        str | None, Option(help="Register the first design's model (seed 0) in MLflow under this name.")
    ] = None
    run: RunOptions = field(default_factory=RunOptions)

    def __post_init__(self) -> None:
        if (self.top is not None) + self.knee + bool(self.design) > 1:
            raise UserError("--top, --knee and --design exclude each other; use one of them")
        if self.on not in (None, *LEARNT_FROM):
            raise UserError(f"--on {self.on}: there are {', '.join(LEARNT_FROM)}")
        check_at_least_one(top=self.top, seeds=self.seeds, epochs=self.epochs)
        check_designs(self.design)
        check_recipe(self.recipe)
