"""The options of `search doctor`; the docstring of the class is its help."""

from dataclasses import dataclass
from typing import Annotated

from typer import Argument, Option

from pipelines.settings.options.shared import Stored


@dataclass(frozen=True, kw_only=True)
class DoctorOptions(Stored):
    """What is torn, doubled or left over in the studies of a storage; none is changed unless --mend is given.

    Exit codes: 0 all can be used, 1 one cannot.
    """

    study: Annotated[str | None, Argument(help="Name of one; all are looked at if left out.")] = None
    mend: Annotated[bool, Option(help="Mend what can be mended.")] = False
