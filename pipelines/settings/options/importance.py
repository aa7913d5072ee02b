"""The options of `search importance`; the docstring of the class is its help."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from typer import Option

from pipelines.settings.options.shared import Stored, Study


@dataclass(frozen=True, kw_only=True)
class ImportanceOptions(Stored):
    """What a study has learnt: the effect of every choice on the metric, with its interval."""

    study: Study = None
    png: Annotated[Path | None, Option(help="File to draw the effects into.")] = None
