"""The runs of a study in MLflow: one for the study, one for each of its trials."""

import functools
import os
import re
import shlex
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from pipelines.terminal.pace import Pace
from pipelines.terminal.secrets import hidden
from pipelines.tracking import of_a_trial, pages
from pipelines.tracking.client import client_of
from pipelines.tracking.view import View
from search.trials import State, Trial

if TYPE_CHECKING:
    from mlflow.entities import Metric, Run

os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # the default waits for minutes
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "CRITICAL")  # an error comes to us, and is one line
os.environ.setdefault(
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true"
)  # stdout is for results, a URL may have a password

EXPERIMENT = "attention-search"
DEFAULT_SERVER = "http://127.0.0.1:5000"
"""Where `mlflow ui` serves."""
MOST = {"metrics": 800, "params": 100, "tags": 100}
"""Of one call, which takes 1,000 in all."""
UNSHOWN = (State.DUPLICATE, State.INFEASIBLE)
"""Trials that get no run."""
LOOKING_SHARE = 0.05
"""Of the time, at most, that all trials are looked at again in, after the end of one."""


def reach(uri: str | None) -> None:
    """Ask a tracking server for something; None for MLflow's own default. A file is no server, and is not made.

    Raises:
        Exception: of many kinds, where it does not answer.
    """
    from mlflow import get_tracking_uri  # takes seconds

    if not (uri or get_tracking_uri()).startswith("sqlite:"):
        client_of(uri).search_experiments(max_results=1)


class StudyRuns:
    """The run of a study and those of its trials in MLflow, found again or made.

    Args:
        view: what to show.
        uri: of the tracking server; None for MLflow's own default.
        remember: is told a trial's number and run id.
    """

    def __init__(self, view: View, uri: str | None, remember: Callable[[int, str], None]) -> None:
        self._view = view
        self._remember = remember
        self._client = client_of(uri)
        self._experiment = self._find_experiment()
        self._runs: dict[int, Run] = {}
        self._running: set[int] = set()
        self._finished: list[Trial] = []
        self._pace = Pace(LOOKING_SHARE)
        self._behind = False  # of the study's metrics
        self._figures: dict[int, Mapping[str, float]] = {}
        self._tagged: dict[int, Mapping[str, str]] = {}
        self.parent = self._find_parent()

    @property
    def is_certain(self) -> bool:
        """Whether a call without an error did once what it says; one to a server that answers late is repeated."""
        from mlflow.store.db.db_types import DATABASE_ENGINES

        return str(self._client.tracking_uri).startswith(tuple(DATABASE_ENGINES))

    def log(self, trial: Trial) -> None:
        """Bring a trial's run up to its state. Logging the same twice changes nothing."""
        if trial.state in UNSHOWN:
            return
        run = self._run_of(trial) or self._make_run(trial)
        if trial.state is State.RUNNING:
            if run.info.status == "KILLED":  # it is taken up again
                self._client.update_run(run.info.run_id, status="RUNNING")
            self._running.add(trial.number)
            return
        if run.info.status in of_a_trial.ENDED:  # an earlier session has logged it
            self._finished.append(trial)
            self._behind = True  # that session may have been cut off before it told the study's metrics
            return
        so_far = [*self._finished, trial]
        if look := self._pace.due:
            with self._pace:
                self._figures[trial.number] = self._view.figures(so_far).get(trial.number, {})
                self._log_metrics(so_far)
        self._log(
            run.info.run_id,
            metrics=of_a_trial.metrics(trial, self._figures.get(trial.number, {})),
            params=of_a_trial.params(trial.job),
            tags=of_a_trial.tags(trial),
        )
        self._client.set_terminated(
            run.info.run_id, of_a_trial.STATUS[trial.state], of_a_trial.milliseconds(trial.finished)
        )
        self._running.discard(trial.number)
        self._finished.append(trial)
        self._behind = not look

    def refresh(self, visible: float = 0.0) -> None:
        """Write the artifacts and the description, and what changed of the trials' tags and figures.

        Args:
            visible: points; a figure that moved by less is left.
        """
        run_ids = {number: run.info.run_id for number, run in self._runs.items()}
        if self._behind:
            self._log_metrics(self._finished)
            self._behind = False
        with TemporaryDirectory() as folder:
            self._view.write_artifacts(self._finished, run_ids, Path(folder))
            self._client.log_artifacts(self.parent, folder)
        for number, tags in self._view.trial_tags(self._finished).items():
            known = self._tagged.get(number, {})
            self._log(run_ids[number], tags={key: value for key, value in tags.items() if known.get(key) != value})
            self._tagged[number] = tags
        now = of_a_trial.milliseconds(None)
        for number, figures in self._view.figures(self._finished).items():
            shown = self._figures.get(number, {})
            if any(key not in shown or abs(value - shown[key]) > visible for key, value in figures.items()):
                changed = [
                    of_a_trial.metric(key, value, now, 0) for key, value in figures.items() if shown.get(key) != value
                ]
                self._log(run_ids[number], metrics=changed)
                self._figures[number] = figures
        self._describe()

    def close(self, status: str) -> None:
        """End the study's run, and those of trials that are to be taken up another time."""
        for number in self._running:
            self._client.set_terminated(self._runs[number].info.run_id, "KILLED")
        self._client.set_terminated(self.parent, status)

    def says_of(self, trials: Sequence[Trial]) -> bool:
        """Whether the description is what these trials, which have all ended, come to."""
        before, note = self._note([trial for trial in trials if trial.state not in UNSHOWN])
        return note == before

    def _describe(self) -> None:
        before, note = self._note(self._finished)
        if note != before:
            self._client.set_tag(self.parent, pages.NOTE, note)

    def _note(self, trials: Sequence[Trial]) -> tuple[str, str]:
        """The description as it is, and as it is to be after these trials."""
        place = (self._experiment, self.parent)
        links = {text: pages.artifact_page(*place, path) for text, path in self._view.pages.items()}
        links["all trials"] = pages.view_page(*place)
        before = self._client.get_run(self.parent).data.tags.get(pages.NOTE, "")  # a user may have written into it
        return before, pages.run_note(self._view.describe(trials), links, before)

    def _find_experiment(self) -> str:
        found = self._client.get_experiment_by_name(EXPERIMENT)
        number = str(self._client.create_experiment(EXPERIMENT) if found is None else found.experiment_id)
        there = {} if found is None else found.tags  # what is there stays: a user may have changed it
        columns = self._view.columns
        tags = {
            pages.NOTE: pages.experiment_note(number, columns),
            pages.VIEW + pages.results_key(columns): pages.results_view(columns),
        }
        for key in set(tags) - set(there):
            self._client.set_experiment_tag(number, key, tags[key])
        return number

    def _find_parent(self) -> str:
        found = self._client.search_runs([self._experiment], f"tags.study_uid = '{self._view.uid}'")
        if found:
            parent, *others = (str(run.info.run_id) for run in found)
            if others:  # a server that answered too late made two
                parent = self._largest([parent, *others])
            self._client.update_run(parent, status="RUNNING")
        else:
            tags = {**self._view.tags, "study_uid": self._view.uid}
            parent = str(self._client.create_run(self._experiment, tags=tags, run_name=self._view.name).info.run_id)
        self._client.set_experiment_tag(
            self._experiment, pages.VIEW + parent, pages.trials_view(parent, self._view.columns)
        )
        self._log(parent, params=self._view.params)  # again after a crash between the two: it changes nothing
        return parent

    def _largest(self, parents: Sequence[str]) -> str:
        """The one with the most trials; the others are deleted with theirs."""
        children = {parent: list(self._children(parent)) for parent in parents}
        largest = max(parents, key=lambda parent: len(children[parent]))
        for other in children.keys() - {largest}:
            for run_id in (*(run.info.run_id for run in children[other]), other):
                self._client.delete_run(run_id)
        return largest

    @functools.cached_property
    def _there(self) -> dict[int, list["Run"]]:
        """Runs that earlier sessions made, by trial."""
        found: defaultdict[int, list[Run]] = defaultdict(list)
        for run in self._children(self.parent):
            found[int(run.data.tags["trial"])].append(run)
        return found

    def _children(self, parent: str) -> Iterator["Run"]:
        token: str | None = None
        while True:
            page = self._client.search_runs(
                [self._experiment], f"tags.`mlflow.parentRunId` = '{parent}'", max_results=1000, page_token=token
            )
            yield from page
            token = page.token
            if not token:
                return

    def _run_of(self, trial: Trial) -> "Run | None":
        """The one of this trial, and no other: a server that answered too late made two.

        One that has ended is none of a running trial's: a journal lost its last lines, and with them that end.
        """
        number, design = trial.number, str(trial.job.design)
        if number in self._runs:
            return self._runs[number]
        # A journal that was mended counts anew, so others may have had this number.
        its = [run for run in self._there.pop(number, []) if run.data.tags.get("design") == design]
        its.sort(key=lambda run: run.info.status not in of_a_trial.ENDED)
        running = trial.state is State.RUNNING
        left = [run for run in its if not (running and run.info.status in of_a_trial.ENDED)][:1]
        for run in its:
            if run not in left:
                self._client.delete_run(run.info.run_id)
        for run in left:
            self._runs[number] = run
            self._figures[number] = run.data.metrics
            self._tagged[number] = run.data.tags
            self._remember(number, run.info.run_id)
        return self._runs.get(number)

    def _make_run(self, trial: Trial) -> "Run":
        tags = {
            "mlflow.parentRunId": self.parent,
            "trial": str(trial.number),
            "design": str(trial.job.design),
            "state": State.RUNNING.value,
        }
        run = self._client.create_run(
            self._experiment, of_a_trial.milliseconds(trial.started), tags, run_name=self._view.trial_name(trial)
        )
        self._runs[trial.number] = run  # at once: whatever fails from here on must not make another run
        self._remember(trial.number, run.info.run_id)
        return run

    def _log_metrics(self, trials: Sequence[Trial]) -> None:
        """Of the study, after these trials, the last of which has just ended."""
        trained, at = sum(trial.trained for trial in trials), of_a_trial.milliseconds(trials[-1].finished)
        metrics = self._view.metrics(trials)
        self._log(self.parent, metrics=[of_a_trial.metric(key, value, at, trained) for key, value in metrics.items()])

    def _log(
        self,
        run_id: str,
        metrics: Sequence["Metric"] = (),
        params: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Into a run, by as few calls as MLflow allows: each takes milliseconds."""
        from mlflow.entities import Param, RunTag

        left: dict[str, list[Any]] = {
            "metrics": list(metrics),
            "params": [Param(key, str(value)) for key, value in (params or {}).items() if value is not None],
            "tags": [RunTag(key, value) for key, value in (tags or {}).items()],
        }
        while any(left.values()):
            now = {kind: them[: MOST[kind]] for kind, them in left.items()}
            self._client.log_batch(run_id, metrics=now["metrics"], params=now["params"], tags=now["tags"])
            left = {kind: them[MOST[kind] :] for kind, them in left.items()}


def where_to_look(run_id: str, uri: str | None) -> str:
    """What to open, or to start and open, to see a run; passwords are left out.

    Args:
        run_id: of the run.
        uri: of the tracking server; None for MLflow's own default.
    """
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    store = str(client.tracking_uri)
    try:
        page = pages.run_page(str(client.get_run(run_id).info.experiment_id), run_id)
    except Exception:  # the tracking server went away
        return f"MLflow, experiment {EXPERIMENT}"
    if store.startswith(("http://", "https://")):
        return f"{re.sub('//[^/]*@', '//', store).rstrip('/')}/{page}"
    command = "mlflow ui"
    if store != f"sqlite:///{Path('mlflow.db').resolve()}":
        command += f" --backend-store-uri {shlex.quote(hidden(store))}"
    return f"{command}, then {DEFAULT_SERVER}/{page}"


RUN_ATTRIBUTE = "mlflow_run:"
"""With a trial's number behind it: the attribute of a study that holds the trial's run id."""


def run_ids(attributes: Mapping[str, Any]) -> dict[int, str]:
    """The run of each trial, from the attributes of a study."""
    return {
        int(key.removeprefix(RUN_ATTRIBUTE)): run_id
        for key, run_id in attributes.items()
        if key.startswith(RUN_ATTRIBUTE)
    }
