"""`search sync`: MLflow rebuilt from the study alone."""

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest
from mlflow import MlflowClient

from pipelines.tracking.pages import NOTE
from search.storage import Storage
from tests.pipelines.conftest import Search, mlflow_runs


def trials_in_mlflow() -> Counter[str]:
    return Counter(run.data.tags["trial"] for run in mlflow_runs())


def test_what_mlflow_lost_is_there_again_each_trial_once(launch: Search, search: Search, empty_tracking: Path) -> None:
    before = launch("--budget", "4", "--confirm", "0.4", "--json").json
    wanted = trials_in_mlflow()
    shutil.copy(empty_tracking, "mlflow.db")

    for _ in range(2):
        ended = search("sync", "--json")
        assert ended.code == 0, ended.err
        assert ended.json["runs"] == len(wanted)
        assert trials_in_mlflow() == wanted
        assert set(wanted.values()) == {1}

    (parent,) = mlflow_runs("search")
    assert (parent.info.run_id, parent.info.status) == (ended.json["mlflow_run_id"], "FINISHED")
    assert parent.data.metrics["hypervolume"] == pytest.approx(before["hypervolume"])
    assert parent.data.tags["sampler"] == "front"
    names = {artifact.path for artifact in MlflowClient().list_artifacts(parent.info.run_id, "fronts")}
    assert "fronts/params.html" in names
    for run in mlflow_runs():
        assert {"val_accuracy", "train_loss", "num_params", "fps"} <= set(run.data.metrics)
        assert run.info.status == "FINISHED"
    front = search("front", "--json").json
    runs = {run.info.run_id: run.data.tags["design"] for run in mlflow_runs()}
    assert all(runs[row["mlflow_run_id"]] == row["design"] for row in front["params"])


def test_a_search_that_ended_by_another_bound_is_finished_there_and_says_how_it_goes_on(
    launch: Search, search: Search, empty_tracking: Path
) -> None:
    assert launch("--max-epochs", "3").code == 0
    shutil.copy(empty_tracking, "mlflow.db")
    assert search("sync").code == 0
    (parent,) = mlflow_runs("search")
    assert parent.info.status == "FINISHED"
    assert "--max-epochs 6" in parent.data.tags[NOTE]
    assert "--budget" not in parent.data.tags[NOTE]


def test_what_mlflow_has_already_is_left_as_it_is(launch: Search, search: Search) -> None:
    launch("--budget", "2")
    before = {run.info.run_id: run.data.metrics for run in mlflow_runs()}
    assert search("sync").code == 0
    assert {run.info.run_id: run.data.metrics for run in mlflow_runs()} == before


def test_of_two_runs_of_a_trial_one_is_left(launch: Search, search: Search) -> None:
    launch("--budget", "2")
    client, before = MlflowClient(), {run.info.run_id for run in mlflow_runs()}
    for run in mlflow_runs():  # as a server does that answers too late and is asked again
        client.create_run(run.info.experiment_id, tags=run.data.tags)
    assert search("sync").code == 0
    assert {run.info.run_id for run in mlflow_runs()} == before


def test_of_two_runs_of_a_study_the_one_with_its_trials_is_left(launch: Search, search: Search) -> None:
    launch("--budget", "2")
    (parent,), before = mlflow_runs("search"), {run.info.run_id for run in mlflow_runs()}
    MlflowClient().create_run(parent.info.experiment_id, tags=parent.data.tags)
    assert search("sync").code == 0
    assert [run.info.run_id for run in mlflow_runs("search")] == [parent.info.run_id]
    assert {run.info.run_id for run in mlflow_runs()} == before


def test_an_end_that_the_journal_lost_is_logged_anew(launch: Search) -> None:
    """With the power the last lines go, but not what MLflow was told: then the trial is trained again."""
    launch("--budget", "3", "--study", "mine")
    before = {run.data.tags["trial"]: run.info.run_id for run in mlflow_runs() if "trial" in run.data.tags}
    journal = Path("runs/mine/journal.log")
    lines = journal.read_bytes().splitlines(keepends=True)
    (last,) = [n for n, line in enumerate(lines) if b'"outcome"' in line and json.loads(line)["trial_id"] == 2]
    journal.write_bytes(b"".join(lines[:last]))
    assert launch("--budget", "3", "--study", "mine").code == 0
    after = {run.data.tags["trial"]: run for run in mlflow_runs() if "trial" in run.data.tags}
    assert {number for number, run in after.items() if run.info.run_id == before[number]} == {"0", "1"}
    assert {run.info.status for run in mlflow_runs()} == {"FINISHED"}
    assert after["2"].data.metrics["val_accuracy"] >= 0


def test_a_number_that_another_design_had_before_makes_one_run_however_often_it_is_synced(
    launch: Search, search: Search
) -> None:
    launch("--budget", "1")
    (run,) = mlflow_runs()
    client = MlflowClient()
    other = client.create_run(run.info.experiment_id, tags={**run.data.tags, "design": "cbam"}).info.run_id
    client.delete_run(run.info.run_id)
    for _ in range(3):
        assert search("sync").code == 0
    assert sorted(it.data.tags["design"] for it in mlflow_runs()) == ["cbam", "none"]
    assert client.get_run(other).data.tags["design"] == "cbam"


def test_a_search_that_another_process_writes_is_not_touched(launch: Search, search: Search) -> None:
    launch("--budget", "2", "--study", "mine")
    with Storage().writing("mine", ("maximize",), {}):
        ended = search("sync", "mine")
    assert ended.code == 2
    assert "is being run by process" in ended.err


def test_a_server_that_does_not_answer_is_a_line(
    launch: Search, search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch("--budget", "2")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    ended = search("sync", "--tracking-uri", "http://127.0.0.1:9")
    assert ended.code == 2
    assert len(ended.err.strip().splitlines()) == 1
    assert "the same command goes on" in ended.err
