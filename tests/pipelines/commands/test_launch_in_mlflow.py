"""What `search launch` tells MLflow."""

import json
import re
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from pipelines.results.fronts import Row, rows
from pipelines.tracking.pages import NOTE, VIEW
from pipelines.tracking.runs import StudyRuns
from search.hopeless import HANDFUL
from search.trials import Trial
from tests.pipelines.conftest import Search, mlflow_runs
from trainers.training import Training


def test_mlflow_has_a_run_for_the_study_and_one_for_each_trial(launch: Search) -> None:
    result = launch("--budget", "4", "--json").json

    (parent,) = mlflow_runs("search")
    assert parent.info.status == "FINISHED"
    assert parent.data.params["recipe.epochs"] == "1"
    assert parent.data.params["seed"] == "0"
    assert "version.torch" in parent.data.tags
    assert parent.data.metrics["hypervolume"] == pytest.approx(result["hypervolume"])
    history = MlflowClient().get_metric_history(parent.info.run_id, "hypervolume")
    steps = [point.step for point in history]  # of trials that follow each other fast some share a point
    assert steps == sorted(set(steps))
    assert steps[-1] == 4
    children = mlflow_runs()
    assert sorted(int(run.data.tags["trial"]) for run in children)[0] == 0
    assert len(children) == 4
    for run in children:
        assert run.info.status == "FINISHED"
        assert run.data.tags["state"] == "complete"
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert {"val_accuracy", "train_loss", "num_params", "fps", "macs"} <= set(run.data.metrics)
        assert run.data.params["attention"] == run.data.params["design"].partition(":")[0]


def test_mlflow_shows_the_result_without_choosing_anything(launch: Search) -> None:
    ended = launch("--budget", "4")

    client = MlflowClient()
    (parent,) = mlflow_runs("search")
    experiment = client.get_experiment(parent.info.experiment_id)
    note = parent.data.tags[NOTE]
    for part in (
        "accuracy against parameters",
        "accuracy against frames per second",
        "of plain",
        "search retrain",
        "--budget 8",
    ):
        assert part in note
    for text, key in re.findall(r"\[([^]]*)\]\(#/[^)]*viewStateShareKey=([^&)]*)", note + experiment.tags[NOTE]):
        assert VIEW + key in experiment.tags, text  # no link leads nowhere
    linked = set(re.findall(r"/artifacts/([^?)]*)", note))
    assert linked == {"fronts/params.html", "fronts/fps.html"}
    assert linked <= {artifact.path for artifact in client.list_artifacts(parent.info.run_id, "fronts")}
    columns = json.loads(experiment.tags[VIEW + parent.info.run_id])["selectedColumns"]
    names = {re.sub("metrics.|`", "", column) for column in columns}
    assert names == {"accuracy", "gain", "num_params", "fps"}
    for run in [parent, *mlflow_runs()]:
        assert names <= set(run.data.metrics)
    for run in mlflow_runs():
        assert 0 <= run.data.metrics["accuracy"] <= 100  # expected of the design, not its luck
    assert f"/#/experiments/{experiment.experiment_id}/runs/{parent.info.run_id}?" in ended.err


def test_a_gain_that_was_unknown_when_a_trial_ended_is_filled_in(
    launch: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    def plain_comes_last(trials: Sequence[Trial], *arguments: Any) -> list[Row]:
        return [row if len(trials) > 2 else replace(row, gain=None) for row in rows(trials, *arguments)]

    monkeypatch.setattr("pipelines.results.search_view.rows", plain_comes_last)
    launch("--budget", "3")

    assert all("gain" in run.data.metrics for run in mlflow_runs())


@pytest.mark.parametrize("name", ["params", "fps"])
def test_mlflows_filter_finds_the_front(launch: Search, name: str) -> None:
    result = launch("--budget", "5", "--json").json

    client = MlflowClient()
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    found: Any = client.search_runs(experiments, f"tags.on_front_{name} = 'true'")
    assert {run.info.run_id for run in found} == {entry["mlflow_run_id"] for entry in result[name]}


def test_the_fronts_are_artifacts_that_need_no_internet(launch: Search, tmp_path: Path) -> None:
    launch("--budget", "3")

    (parent,) = mlflow_runs("search")
    folder = Path(MlflowClient().download_artifacts(parent.info.run_id, "fronts", str(tmp_path)))
    assert {path.name for path in folder.iterdir()} == {
        *("params.html", "params.png", "fps.html", "fps.png", "front.json")
    }
    for name in ("params", "fps"):
        page = (folder / f"{name}.html").read_text()
        assert "Plotly.newPlot" in page
        assert "<script src=" not in page.replace("'", '"')
        assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_without_a_tracking_server_the_search_goes_on_and_the_next_launch_logs_it(
    launch: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    ended = launch("--budget", "2", "--tracking-uri", "http://127.0.0.1:9", "--json")
    assert ended.code == 0
    assert ended.json["trials"] == 2
    assert ended.err.count("warning: MLflow") == 2  # at the first trouble, and at the end

    assert launch("--budget", "2").code == 0
    assert [run.info.status for run in mlflow_runs()] == ["FINISHED"] * 2


def test_a_launch_with_nothing_to_train_looks_at_no_run_again(
    launch: Search, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch("--budget", "2")
    with monkeypatch.context() as for_now:
        for_now.setattr(StudyRuns, "log", None)
        for_now.setattr(StudyRuns, "refresh", None)
        ended = launch("--budget", "2")
        assert (ended.code, ended.err.count("warning")) == (0, 0)
        assert [run.info.status for run in mlflow_runs("search")] == ["FINISHED"]
        assert "warning: MLflow" in launch("--budget", "1").err, "the description names another command"

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/elsewhere.db")
    launch("--budget", "2")
    assert len(mlflow_runs()) == 2


def test_how_a_study_ended_is_told_whatever_goes_wrong_with_its_description(
    launch: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch("--budget", "2")

    def broken(self: StudyRuns, trials: Sequence[Trial]) -> bool:
        raise RuntimeError("no idea")

    monkeypatch.setattr(StudyRuns, "says_of", broken)
    assert "warning: MLflow: RuntimeError: no idea" in launch("--budget", "2").err
    assert [run.info.status for run in mlflow_runs("search")] == ["FINISHED"]


def test_what_a_server_has_is_looked_at_again_since_it_may_have_answered_too_late(
    launch: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StudyRuns, "is_certain", False)
    launch("--budget", "2")
    looked: list[str] = []

    def look(self: StudyRuns, parent: str) -> list[Run]:
        looked.append(parent)
        return list(children(self, parent))

    children = StudyRuns._children
    monkeypatch.setattr(StudyRuns, "_children", look)
    launch("--budget", "2")
    assert looked == [run.info.run_id for run in mlflow_runs("search")]


def test_a_tracking_server_that_takes_longer_than_the_search_delays_nothing(
    launch: Search, search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    all_trained = threading.Event()

    def slow(self: MlflowClient, *arguments: Any, **named: Any) -> None:
        all_trained.wait()
        raise ConnectionError("it went away in the end")

    with monkeypatch.context() as for_now:
        for_now.setattr(MlflowClient, "log_batch", slow)
        for_now.setattr("pipelines.tracking.tracker.CLOSE_SECONDS", 0.01)
        ended = launch("--study", "mine", "--budget", "3", "--json")
        (tracker,) = [thread for thread in threading.enumerate() if thread.name == "mlflow"]
        all_trained.set()
        tracker.join()
    assert ended.code == 0
    assert ended.json["trials"] == 3
    assert "MLflow did not get everything" in ended.err
    assert search("sync", "mine").code == 0
    assert sorted(run.data.tags["trial"] for run in mlflow_runs()) == ["0", "1", "2"]
    assert {run.info.status for run in mlflow_runs()} == {"FINISHED"}


def test_a_plain_network_that_the_machine_failed_is_told_of_and_trained_by_the_next_launch(
    launch: Search, search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = Training.step
    lost: list[Training] = []

    def lose_the_first(self: Training) -> dict[str, float]:
        if not lost:
            lost.append(self)
            raise OSError("the disk is away")
        return train(self)

    monkeypatch.setattr(Training, "step", lose_the_first)
    first = launch("--budget", "2")
    assert first.code == 0
    assert "resnet20 none; a larger --budget tries them again" in first.err
    ended = launch("--budget", "3", "--json")
    assert "tries them again" not in ended.err
    assert {entry["gain"] is None for entry in ended.json["params"]} == {False}
    assert search("status", "--json").json[-1]["complete"] == 3


def test_a_search_whose_trainings_all_fail_stops_soon_and_fails(
    launch: Search, search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: object) -> dict[str, float]:
        raise RuntimeError("the disk is full")

    monkeypatch.setattr("trainers.training.Training.step", broken)
    ended = launch("--budget", "10")
    assert ended.code == 1
    assert "the disk is full" in ended.err
    assert search("status", "--json").json[-1]["failed"] == HANDFUL
    assert {run.info.status for run in mlflow_runs()} == {"FAILED"}


def test_a_trial_has_one_run_even_if_the_server_fails_in_between(
    launch: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient as Client

    log_batch, failures = Client.log_batch, iter([False, False, True])

    def unreliable(self: Client, *arguments: Any, **named: Any) -> Any:
        if next(failures, False):
            raise ConnectionError("for a moment")
        return log_batch(self, *arguments, **named)

    monkeypatch.setattr(Client, "log_batch", unreliable)
    monkeypatch.setattr("pipelines.tracking.tracker.RETRY_SECONDS", 0.01)
    launch("--budget", "3")
    launch("--budget", "3")
    assert sorted(run.data.tags["trial"] for run in mlflow_runs()) == sorted(
        {r.data.tags["trial"] for r in mlflow_runs()}
    )
    assert [run.info.status for run in mlflow_runs()] == ["FINISHED"] * 3
