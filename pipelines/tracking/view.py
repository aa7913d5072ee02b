"""What MLflow is shown of a study: the form of it; what it says is handed in."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from search.trials import Trial


@dataclass(frozen=True, kw_only=True)
class View:
    """What MLflow is shown of a study.

    Attributes:
        name: of the study's run.
        uid: tells this study from another one of the same name.
        params: of the study's run.
        tags: of the study's run.
        trial_name: name of a trial's run.
        metrics: of the study's run, after each trial, from the trials so far.
        columns: metrics that lists of runs show, first the score that they are sorted by.
        figures: their values for the trials that have them, by trial.
        describe: what came out, in paragraphs of Markdown, the verdict first.
        write_artifacts: writes files for the study's run, from the trials so far and their run ids.
        trial_tags: tags of the trials' runs that change as the study goes on, by trial.
        pages: the files to look at, by what they show.
    """

    name: str
    uid: str
    params: Mapping[str, Any]
    tags: Mapping[str, str]
    trial_name: Callable[[Trial], str]
    metrics: Callable[[Sequence[Trial]], Mapping[str, float]]
    columns: Sequence[str]
    figures: Callable[[Sequence[Trial]], Mapping[int, Mapping[str, float]]]
    describe: Callable[[Sequence[Trial]], Sequence[str]]
    write_artifacts: Callable[[Sequence[Trial], Mapping[int, str], Path], None] = lambda trials, runs, folder: None
    trial_tags: Callable[[Sequence[Trial]], Mapping[int, Mapping[str, str]]] = lambda trials: {}
    pages: Mapping[str, str] = field(default_factory=dict)
