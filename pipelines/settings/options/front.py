"""The options of `search front`; the docstring of the class is its help."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from typer import Option

from pipelines.settings.options.shared import Stored, Study


@dataclass(frozen=True, kw_only=True)
class FrontOptions(Stored):
    """The Pareto fronts of a study, best first, with the gain over the plain backbone."""

    study: Study = None
    csv: Annotated[bool, Option(help="The fronts as CSV on stdout.")] = False
    png: Annotated[Path | None, Option(help="File to draw the fronts into.")] = None
