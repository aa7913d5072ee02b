"""What MLflow shows of designs that are trained under several seeds each, whichever command asked for it."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.results.glance import figure_names
from pipelines.results.paired import trial_figures
from pipelines.settings.provenance import provenance
from pipelines.tracking.view import View
from search.objectives import Objectives
from search.trials import Trial
from space.choices import Candidate


def trainings_view(
    *,
    kind: str,
    study: str,
    uid: str,
    params: Mapping[str, Any],
    objectives: Objectives,
    plain: Candidate | None,
    metrics: Callable[[Sequence[Trial]], Mapping[str, float]],
    describe: Callable[[Sequence[Trial]], Sequence[str]],
    write: Callable[[Sequence[Trial], Path], None] = lambda trials, folder: None,
    name: str | None = None,
    several_backbones: bool = False,
    pages: Mapping[str, str] | None = None,
) -> View:
    """The view of a study whose trials are told apart by design and seed.

    Args:
        kind: of the study.
        study: that the run is found by.
        uid: of the study.
        params: of its run.
        objectives: that lists of runs show.
        plain: what gains are over, under the same seed; None for no gains.
        metrics: of the run, from the trials so far.
        describe: what came out, in paragraphs of Markdown, the verdict first.
        write: files for the run, from the trials so far.
        name: of the run; `study` if left out.
        several_backbones: whether trials are told apart by backbone, too.
        pages: the files to look at, by what they show.
    """

    def trial_name(trial: Trial) -> str:
        backbone = f"{trial.job.backbone} " if several_backbones else ""
        return f"{backbone}{trial.job.design} seed {trial.job.seed}"

    return View(
        name=study if name is None else name,
        uid=uid,
        params=params,
        tags={"kind": kind, "study": study, **provenance()},
        trial_name=trial_name,
        metrics=metrics,
        columns=figure_names(objectives),
        figures=lambda trials: trial_figures(trials, plain, objectives),
        describe=describe,
        write_artifacts=lambda trials, runs, folder: write(trials, folder),
        pages=pages or {},
    )
