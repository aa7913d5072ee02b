"""MLflow: a run for the study, a run for each trial, the fronts as artifacts.

MLflow only ever copies the ledger. A thread of its own does so: however slow or broken the tracking
server is, the search goes on, and what could not be logged is logged by the next launch.
"""

import contextlib
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import TYPE_CHECKING, Any

from pipelines.console import warn
from search.trials import State, Trial
from space.errors import Stopped

if TYPE_CHECKING:
    import numpy as np
    from mlflow.entities import Metric, Run
    from numpy.typing import NDArray
    from torch import nn

os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # the default waits for minutes
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
os.environ.setdefault(
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true"
)  # stdout is for results, a URL may have a password

EXPERIMENT = "attention-search"
MODEL_TRAINING = {"mlflow.experimentKind": "custom_model_development"}
"""Has MLflow's page show runs and metrics rather than traces of language models."""
RUN_ATTRIBUTE = "mlflow_run:"
"""With a trial's number behind it: the attribute of a study that holds the trial's run id."""
REFRESH_SECONDS = 60.0
RETRY_SECONDS = 10.0
CLOSE_SECONDS = 120.0
MOST_METRICS = 1000  # of one call
MOST_TAGS = 100

_STATUS = {State.COMPLETE: "FINISHED", State.STOPPED: "FINISHED", State.FAILED: "FAILED"}


def run_ids(attributes: Mapping[str, Any]) -> dict[int, str]:
    """The run of each trial, from the attributes of a study."""
    return {
        int(key.removeprefix(RUN_ATTRIBUTE)): run_id
        for key, run_id in attributes.items()
        if key.startswith(RUN_ATTRIBUTE)
    }


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
        trial_tags: tags of the trials' runs that change as the study goes on, by trial.
        write_artifacts: writes files for the study's run, from the trials so far and their run ids.
    """

    name: str
    uid: str
    params: Mapping[str, Any]
    tags: Mapping[str, str]
    trial_name: Callable[[Trial], str]
    metrics: Callable[[Sequence[Trial]], Mapping[str, float]]
    trial_tags: Callable[[Sequence[Trial]], Mapping[int, Mapping[str, str]]]
    write_artifacts: Callable[[Sequence[Trial], Mapping[int, str], Path], None]


class Tracker:
    """Observes a ledger and copies it to MLflow.

    Args:
        view: what to show.
        uri: of the tracking server; None for MLflow's own default.
        trials: the ledger's trials so far.
        remember: is told a trial's number and run id.
    """

    def __init__(
        self, view: View, uri: str | None, trials: Sequence[Trial], remember: Callable[[int, str], None]
    ) -> None:
        self._view = view
        self._uri = uri
        self._remember = remember
        self._events: queue.Queue[Trial | None] = queue.Queue()
        self._backlog: list[Trial] = sorted(trials, key=lambda trial: trial.finished or datetime.max)
        self._copy: _Copy | None = None
        self._warned = False
        self._outcome = "FINISHED"
        self._thread = threading.Thread(target=self._work, name="mlflow", daemon=True)

    def __enter__(self) -> "Tracker":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is not None:
            self._outcome = "KILLED" if issubclass(kind, Stopped) else "FAILED"
        self._events.put(None)
        self._thread.join(CLOSE_SECONDS)
        if self._thread.is_alive() or self._backlog:
            warn("MLflow did not get everything; the same command, run again, logs what is missing")

    def started(self, trial: Trial) -> None:
        """Make a run for it."""
        self._events.put(trial)

    def reported(self, trial: Trial) -> None:
        """Epochs are logged when the trial is finished, in one call."""

    def finished(self, trial: Trial) -> None:
        """Log it and close its run."""
        self._events.put(trial)

    def interrupted(self) -> None:
        """The study will go on another time."""
        self._outcome = "KILLED"

    @property
    def run_id(self) -> str | None:
        """The study's run; None as long as MLflow has not answered."""
        return self._copy.parent if self._copy else None

    def _work(self) -> None:
        refreshed, closing = time.monotonic(), False
        while not closing:
            try:
                closing = self._take(self._events.get(timeout=RETRY_SECONDS))
                while not self._events.empty():
                    closing = self._take(self._events.get()) or closing
            except queue.Empty:
                pass
            try:
                if self._copy is None:
                    self._copy = _Copy(self._view, self._uri, self._remember)
                while self._backlog:
                    self._copy.log(self._backlog[0])
                    del self._backlog[0]
                if closing or time.monotonic() - refreshed > REFRESH_SECONDS:
                    self._copy.refresh()
                    refreshed = time.monotonic()
                if closing:
                    self._copy.close(self._outcome)
            except Exception as error:  # whatever the tracking server does, the search goes on
                if not self._warned:
                    first_line = next(iter(str(error).splitlines()), "")
                    warn(f"MLflow: {type(error).__name__}: {first_line}; the search goes on without it")
                    self._warned = True

    def _take(self, event: Trial | None) -> bool:
        """Queue an event; returns whether it was the last."""
        if event is not None:
            self._backlog.append(event)
        return event is None


class _Copy:
    """The runs of one study in MLflow, found again or made."""

    def __init__(self, view: View, uri: str | None, remember: Callable[[int, str], None]) -> None:
        from mlflow import MlflowClient  # takes seconds

        self._view = view
        self._remember = remember
        self._client: MlflowClient = MlflowClient(tracking_uri=uri)
        self._experiment = self._find_experiment()
        self._runs: dict[int, Run] = {}
        self._finished: list[Trial] = []
        self._tagged: dict[int, Mapping[str, str]] = {}
        self.parent = self._find_parent()

    def log(self, trial: Trial) -> None:
        """Bring a trial's run up to its state. Logging the same twice changes nothing."""
        if trial.state in (State.DUPLICATE, State.INFEASIBLE):
            return
        run = self._runs.get(trial.number) or self._make_run(trial)
        job = trial.job
        fields = {**job.design.to_dict(), "backbone": job.backbone, "design": job.design, "seed": job.seed}
        if trial.state is State.RUNNING:
            self._log_params(run.info.run_id, fields)
            return
        if run.info.status in ("FINISHED", "FAILED"):  # an earlier session has logged it
            self._finished.append(trial)
            return
        self._log_params(run.info.run_id, fields)  # again: the session that made the run may have been cut off
        for batch in _batches(self._trial_metrics(trial), MOST_METRICS):
            self._client.log_batch(run.info.run_id, metrics=batch)
        failure = trial.failure
        if failure is not None:
            for key, value in (("failure", failure.kind), ("failure_reason", failure.reason[:500])):
                self._client.set_tag(run.info.run_id, key, value)
        so_far = [*self._finished, trial]
        trained = sum(earlier.trained for earlier in so_far)
        at = _milliseconds(trial.finished)
        parent_metrics = [_metric(k, v, at, trained) for k, v in self._view.metrics(so_far).items()]
        self._client.log_batch(self.parent, metrics=parent_metrics)
        self._client.set_tag(run.info.run_id, "state", trial.state.value)
        self._client.set_terminated(run.info.run_id, _STATUS[trial.state], at)
        self._finished.append(trial)

    def refresh(self) -> None:
        """Write the artifacts, and the tags that changed."""
        run_ids = {number: run.info.run_id for number, run in self._runs.items()}
        with TemporaryDirectory() as folder:
            self._view.write_artifacts(self._finished, run_ids, Path(folder))
            self._client.log_artifacts(self.parent, folder)
        for number, tags in self._view.trial_tags(self._finished).items():
            for key, value in tags.items():
                if self._tagged.get(number, {}).get(key) != value:
                    self._client.set_tag(run_ids[number], key, value)
            self._tagged[number] = tags

    def close(self, status: str) -> None:
        """End the study's run."""
        self._client.set_terminated(self.parent, status)

    def _find_experiment(self) -> str:
        experiment = self._client.get_experiment_by_name(EXPERIMENT)
        if experiment is not None:
            return str(experiment.experiment_id)
        return str(self._client.create_experiment(EXPERIMENT, tags=MODEL_TRAINING))

    def _find_parent(self) -> str:
        found = self._client.search_runs([self._experiment], f"tags.study_uid = '{self._view.uid}'")
        if found:
            parent = str(found[0].info.run_id)
            self._client.update_run(parent, status="RUNNING")
            for run in self._children(parent):
                number = int(run.data.tags["trial"])
                self._runs[number] = run
                self._tagged[number] = run.data.tags
                self._remember(number, run.info.run_id)
        else:
            tags = {**self._view.tags, "study_uid": self._view.uid}
            parent = str(self._client.create_run(self._experiment, tags=tags, run_name=self._view.name).info.run_id)
        self._log_params(parent, self._view.params)  # again after a crash between the two: it changes nothing
        return parent

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

    def _make_run(self, trial: Trial) -> "Run":
        tags = {
            "mlflow.parentRunId": self.parent,
            "trial": str(trial.number),
            "design": str(trial.job.design),
            "state": State.RUNNING.value,
        }
        run = self._client.create_run(
            self._experiment, _milliseconds(trial.started), tags, run_name=self._view.trial_name(trial)
        )
        self._runs[trial.number] = run  # at once: whatever fails from here on must not make another run
        self._remember(trial.number, run.info.run_id)
        return run

    def _log_params(self, run_id: str, params: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        every = [Param(key, str(value)) for key, value in params.items() if value is not None]
        for batch in _batches(every, MOST_TAGS):
            self._client.log_batch(run_id, params=batch)

    def _trial_metrics(self, trial: Trial) -> list["Metric"]:
        at = _milliseconds(trial.finished)
        metrics = [_metric(key, value, at, 0) for key, value in asdict(trial.job.cost).items()]
        for report in trial.history:
            ended, epoch = int(report["time"] * 1000), int(report["epoch"])
            metrics += [_metric(k, v, ended, epoch) for k, v in report.items() if k not in ("time", "epoch")]
        return metrics


def log_model(
    network: "nn.Module", example: "NDArray[np.float32]", run_id: str, uri: str | None, name: str | None
) -> bool:
    """Log a trained network with a run, and register it under `name`; trouble is a warning. Returns whether it worked.

    Args:
        network: on the CPU, in eval mode.
        example: images (B, C, H, W), normalised, B at least 2.
        run_id: of the run.
        uri: of the tracking server; None for MLflow's own default.
        name: to register it under; None for not.
    """
    import mlflow
    import torch
    from mlflow.exceptions import MlflowException

    try:
        if uri is not None:
            mlflow.set_tracking_uri(uri)
        with mlflow.start_run(run_id=run_id):
            logged = mlflow.pytorch.log_model(
                network,
                name="model",
                serialization_format="pt2",
                input_example=example,
                pip_requirements=[f"torch=={torch.__version__.partition('+')[0]}"],  # inferring them takes long
            )
        if name is not None:
            client = mlflow.MlflowClient()
            with contextlib.suppress(MlflowException):  # the name is there already
                client.create_registered_model(name)
            client.create_model_version(name, logged.model_uri, run_id)
        return True
    except Exception as error:  # whatever the tracking server does, the weights are on disk
        warn(f"MLflow did not take the model: {type(error).__name__}: {next(iter(str(error).splitlines()), '')}")
        return False


def log_files(folder: Path, run_id: str, uri: str | None) -> None:
    """Log a folder's files with a run; trouble is a warning."""
    from mlflow import MlflowClient

    try:
        MlflowClient(tracking_uri=uri).log_artifacts(run_id, str(folder), folder.name)
    except Exception as error:  # whatever the tracking server does, the files are on disk
        warn(f"MLflow did not take {folder}: {type(error).__name__}: {next(iter(str(error).splitlines()), '')}")


def _batches(items: list[Any], most: int) -> Iterator[list[Any]]:
    for start in range(0, len(items), most):
        yield items[start : start + most]


def _metric(key: str, value: float, at: int, step: int) -> "Metric":
    from mlflow.entities import Metric

    return Metric(key, value, at, step)


def _milliseconds(when: datetime | None) -> int:
    return int((when or datetime.now()).timestamp() * 1000)
