"""The options of the commands about studies that train nothing; the docstring is the command's help."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from pipelines.settings.options.shared import Stored, Study, TrackingUri


@dataclass(frozen=True, kw_only=True)
class StatusOptions(Stored):
    """How far a study is; without a name, how far all are."""

    study: Annotated[
        str | None,
        Argument(help="Name of a search, retraining, comparison, table or reproduction; all are listed if left out."),
    ] = None


@dataclass(frozen=True, kw_only=True)
class FrontOptions(Stored):
    """The Pareto fronts of a study, best first, with the gain over the plain backbone."""

    study: Study = None
    csv: Annotated[bool, Option(help="The fronts as CSV on stdout.")] = False
    png: Annotated[Path | None, Option(help="File to draw the fronts into.")] = None


@dataclass(frozen=True, kw_only=True)
class DoctorOptions(Stored):
    """What is torn, doubled or left over in the studies of a storage; none is changed unless --mend is given.

    Exit codes: 0 all can be used, 1 one cannot.
    """

    study: Annotated[str | None, Argument(help="Name of one; all are looked at if left out.")] = None
    mend: Annotated[bool, Option(help="Mend what can be mended.")] = False


@dataclass(frozen=True, kw_only=True)
class ImportanceOptions(Stored):
    """What a study has learnt: the effect of every choice on the metric, with its interval."""

    study: Study = None
    png: Annotated[Path | None, Option(help="File to draw the effects into.")] = None


@dataclass(frozen=True, kw_only=True)
class SyncOptions(Stored):
    """Bring MLflow up to what a search knows: each trial once, from the study alone.

    For where MLflow was away, or lost what it had. The commands that train do so by themselves.
    """

    study: Study = None
    tracking_uri: TrackingUri = None
