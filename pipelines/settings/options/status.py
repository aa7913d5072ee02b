"""The options of `search status`; the docstring of the class is its help."""

from dataclasses import dataclass
from typing import Annotated

from typer import Argument

from pipelines.settings.options.shared import Stored


@dataclass(frozen=True, kw_only=True)
class StatusOptions(Stored):
    """How far a study is; without a name, how far all are."""

    study: Annotated[
        str | None,
        Argument(help="Name of a search, retraining, comparison, table or reproduction; all are listed if left out."),
    ] = None
