import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from optuna.storages.journal import JournalFileBackend

from pipelines.results.fronts import Row, rows
from pipelines.tracking.pages import NOTE, VIEW
from search.hopeless import HANDFUL
from search.storage import Storage
from search.trials import State, Trial
from tests.pipelines.conftest import Ended, Search, mlflow_runs, write_folder
from trainers.training import Training


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_launch_trains_the_budget_and_reports_both_fronts(launch: Search) -> None:
    result = launch("--budget", "4", "--json").json

    assert result["trials"] == result["epochs_trained"] == 4
    assert 0 <= result["hypervolume"] <= 1
    assert 0 <= result["overhead_seconds"] <= result["seconds"]
    for name in ("params", "fps"):
        accuracies = [entry["val_accuracy"] for entry in result[name] if entry["design"] != "none"]
        assert accuracies == sorted(accuracies, reverse=True)
        assert {"trial", "backbone", "design", "gain", "num_params", "fps", "mlflow_run_id"} <= set(result[name][0])


def test_the_plain_backbone_is_trial_0_and_gains_are_over_it(launch: Search, search: Search) -> None:
    launch("--budget", "3")

    front = search("front", "--json").json["params"]
    plain = next(entry for entry in front if entry["trial"] == 0)  # nothing has fewer parameters
    assert plain["design"] == "none"
    assert plain["gain"] == 0
    for entry in front:
        assert entry["gain"] == pytest.approx(entry["val_accuracy"] - plain["val_accuracy"])
        assert entry["low"] <= entry["gain"] <= entry["high"]
        assert 0 <= entry["p_better"] <= 1
        assert 0 <= entry["p_front"] <= 1
    assert front[-1] == plain


def test_a_larger_budget_extends_the_study_and_the_same_one_trains_nothing(launch: Search, search: Search) -> None:
    first = launch("--budget", "2", "--json").json
    again = launch("--budget", "2", "--json").json
    more = launch("--budget", "4", "--json").json

    assert first["study"] == again["study"] == more["study"]
    assert (first["trials"], again["trials"], more["trials"]) == (2, 2, 4)
    status = search("status", "--json").json[-1]
    assert status["complete"] == 4
    assert status["running"] == status["failed"] == status["stopped"] == 0
    assert status["budget"] == 4


def test_no_command_replays_the_journal_of_a_study_twice(
    launch: Search, search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    replays: Counter[str] = Counter()
    read_logs = JournalFileBackend.read_logs

    def counting(backend: JournalFileBackend, log_number_from: int) -> Iterator[dict[str, Any]]:
        if log_number_from == 0 and Path(backend._file_path).stat().st_size:
            replays[backend._file_path] += 1
        return read_logs(backend, log_number_from)

    monkeypatch.setattr(JournalFileBackend, "read_logs", counting)
    commands: dict[str, Callable[[], Ended]] = {
        "launch": lambda: launch("--study", "mine", "--budget", "1"),
        "launch again": lambda: launch("--study", "mine", "--budget", "2"),
        "status": lambda: search("status"),
        "front": lambda: search("front"),
    }
    for name, command in commands.items():
        replays.clear()
        assert command().code == 0
        assert list(replays.values()) == [1], name


def test_a_budget_beyond_the_space_tries_every_design_once_and_says_so(launch: Search, search: Search) -> None:
    size = search("space", "--space", "tiny.toml", "--json").json["designs"]
    ended = launch("--budget", "1000", "--time-limit", "10m")

    assert ended.code == 0
    assert "Every design within the limits has been tried" in ended.err
    assert search("status", "--json").json[-1]["complete"] == size


def test_limits_are_met_by_every_trained_design(launch: Search, search: Search) -> None:
    plain = search("profile", "none", "--channels", "1", "--no-measuring", "--json").json["num_params"]
    ended = launch("--budget", "100", "--max-params", str(plain + 3000), "--json")

    space = search("space", "--space", "tiny.toml", "--channels", "1", "--max-params", str(plain + 3000), "--json").json
    assert ended.json["trials"] == space["feasible"] < space["designs"]
    assert all(entry["num_params"] <= plain + 3000 for entry in ended.json["params"])


def test_a_dry_run_writes_nothing(launch: Search, here: Path) -> None:
    before = files(here)
    result = launch("--budget", "5", "--dry-run", "--json").json

    assert files(here) == before
    assert result["trials"] == 5
    assert result["feasible"] == result["designs"]
    assert result["estimated_seconds"] > 0


def test_two_backbones_are_both_searched(search: Search) -> None:
    ended = search(
        *("launch", "--space", "tiny.toml", "--epochs", "1", "--engine", "local"),
        *("--backbone", "resnet11,resnet20", "--budget", "6", "--sampler", "random", "--json"),
    )
    assert ended.json["study"].startswith("hard-digits-resnet11-resnet20-")
    assert "resnet11" in {entry["backbone"] for entry in ended.json["params"]}


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "random", "front"])
def test_the_sampler_may_change_within_a_study(launch: Search, sampler: str) -> None:
    launch("--budget", "2", "--sampler", "random")
    assert launch("--budget", "4", "--sampler", sampler, "--json").json["trials"] == 4


def test_a_named_study_goes_on_without_repeating_its_settings(search: Search, launch: Search) -> None:
    launch("--budget", "2", "--study", "mine", "--seed", "7")

    ended = search("launch", "--study", "mine", "--budget", "3", "--engine", "local", "--confirm", "0", "--json")
    assert ended.json["trials"] == 3
    assert search("status", "mine", "--json").json["epochs_trained"] == 3


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--epochs", "2"], "--epochs 1"),
        (["--no-augmentation"], "augmentation"),
        (["--seed", "1"], "--seed 0"),
        (["--train-size", "300"], "--train-size None"),
        (["--backbone", "resnet11"], "--backbone resnet20"),
        (["--space", "small"], "--space tiny.toml"),
        (["--recipe", "ras"], "--recipe hard-digits"),
    ],
)
def test_a_named_study_keeps_its_settings(launch: Search, search: Search, flags: list[str], named: str) -> None:
    launch("--budget", "1", "--study", "mine")
    ended = search("launch", "--study", "mine", "--budget", "2", *flags)

    assert ended.code == 2
    assert f"study mine was made with {named};" in ended.err
    assert search("status", "mine", "--json").json["complete"] == 1


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


def test_results_go_to_stdout_and_all_else_to_stderr(launch: Search) -> None:
    ended = launch("--budget", "2", "--json")
    assert isinstance(ended.json, dict)  # nothing but JSON is on stdout
    assert "hard-digits · 400 train / 1,196 val / 1,598 test" in ended.err


def test_a_users_own_folder_is_searched_and_retrained(search: Search, here: Path) -> None:
    write_folder(here / "images", classes=2, images=60, side=12)
    ended = search(
        *("launch", "--dataset", "folder:images", "--space", "tiny.toml", "--recipe", "digits", "--epochs", "1"),
        *("--engine", "local", "--budget", "2", "--json"),
    )
    assert ended.json["trials"] == 2
    assert "84 train / 18 val / 18 test · 2 classes" in ended.err
    retrained = search("retrain", "--design", "ras", "--seeds", "1", "--epochs", "1", "--engine", "local", "--json")
    assert [entry["n"] for entry in retrained.json["results"]] == [1, 1]


def test_studies_can_live_in_a_database(launch: Search, search: Search, here: Path) -> None:
    storage = f"sqlite:///{here / 'studies.db'}"
    assert launch("--budget", "2", "--storage", storage).code == 0
    assert launch("--budget", "3", "--storage", storage).code == 0
    assert search("status", "--storage", storage, "--json").json[-1]["complete"] == 3
    assert len(search("front", "--storage", storage, "--json").json["params"]) >= 1


def test_designs_are_trained_again_and_told_apart_everywhere(launch: Search, search: Search) -> None:
    ended = launch("--budget", "4", "--confirm", "0.5", "--json")
    assert (ended.json["trials"], ended.json["replicates"], ended.json["epochs_trained"]) == (4, 4, 8)
    status = search("status", "--json").json[-1]
    assert (status["complete"], status["replicates"], status["stopped"], status["failed"]) == (4, 4, 0, 0)
    assert sum(entry["n"] for entry in ended.json["params"]) > len(ended.json["params"])

    runs = {run.data.tags["trial"]: run for run in mlflow_runs()}
    again = [run for run in runs.values() if "replicate_of" in run.data.tags]
    assert (len(runs), len(again)) == (8, 4)
    assert len({run.data.params["seed"] for run in runs.values()} - {run.data.params["seed"] for run in again}) == 1
    for run in again:
        first = runs[run.data.tags["replicate_of"]]
        assert first.data.tags["design"] == run.data.tags["design"]
        assert first.data.metrics["accuracy"] == run.data.metrics["accuracy"]
        assert first.data.params["seed"] != run.data.params["seed"]
        assert "on_front_params" not in run.data.tags

    more = launch("--budget", "5", "--confirm", "0.5")
    assert "5 designs trained, 5 trainings more to confirm them" in more.err


def test_designs_stopped_at_a_rung_are_told_everywhere_and_are_on_no_front(launch: Search, search: Search) -> None:
    ended = launch("--budget", "6", "--epochs", "2", "--halving", "--rungs", "0.5", "--reduction-factor", "5", "--json")
    assert ended.code == 0, ended.err
    trials = Storage("runs").read(ended.json["study"]).trials
    stopped = {str(trial.number) for trial in trials if trial.state is State.STOPPED}
    assert ended.json["stopped"] == len(stopped) > 0
    assert ended.json["epochs_trained"] == 2 * 6 - len(stopped)
    assert not stopped & {str(entry["trial"]) for cost in ("params", "fps") for entry in ended.json[cost]}
    runs = {run.data.tags["trial"]: run for run in mlflow_runs()}
    assert len(runs) == 6
    assert all(runs[number].data.tags["on_front_params"] == "false" for number in stopped)


@pytest.mark.parametrize("share", ["1", "-0.1", "30"])
def test_a_share_that_is_none_is_one_line(launch: Search, share: str) -> None:
    ended = launch("--budget", "1", "--confirm", share)
    assert ended.code == 2
    assert f"--confirm {share}: a share of the epochs is wanted" in ended.err


def test_epochs_bound_a_search_and_more_of_them_extend_it(launch: Search, search: Search, here: Path) -> None:
    ended = launch("--max-epochs", "3", "--confirm", "0.3", "--json")
    assert ended.code == 0
    assert (ended.json["ended_by"], ended.json["epochs_trained"]) == ("max_epochs", 3)
    assert "--max-epochs 3 is reached" in ended.err
    assert "--max-epochs 6" in next(line for line in ended.err.splitlines() if line.startswith(" more"))

    more = launch("--max-epochs", "30", "--budget", "4", "--confirm", "0.3", "--json").json
    assert (more["ended_by"], more["trials"], more["replicates"]) == ("budget", 4, 1)
    rest = launch("--max-epochs", "20", "--confirm", "0.3", "--json").json  # more than the space has
    assert (rest["ended_by"], rest["epochs_trained"]) == ("max_epochs", 20)
    assert rest["trials"] == search("space", "--space", "tiny.toml", "--json").json["designs"]

    status = search("status", rest["study"], "--json").json
    for key in ("epochs_trained", "replicates", "stopped"):
        assert status[key] == rest[key]
    assert " 20 epochs" in launch("--max-epochs", "20").err


def test_hours_and_patience_bound_a_search(launch: Search) -> None:
    hours = launch("--gpu-hours", "0.000001", "--json")
    assert (hours.code, hours.json["ended_by"], hours.json["trials"]) == (0, "gpu_hours", 1)
    ended = launch("--patience", "1", "--json")
    assert (ended.code, ended.json["ended_by"]) == (0, "patience")
    assert "to the gain hypervolume, no more than noise." in ended.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--max-epochs", "2", "--epochs", "3"], "--max-epochs 2: one training takes 3 epochs"),
        (["--max-epochs", "0"], "--max-epochs 0"),
        (["--gpu-hours", "0"], "--gpu-hours 0"),
        (["--patience", "0"], "--patience 0"),
    ],
)
def test_a_bound_that_nothing_is_within_is_one_line(
    launch: Search, here: Path, arguments: list[str], words: str
) -> None:
    ended = launch(*arguments)
    assert ended.code == 2
    assert words in ended.err
    assert not (here / "runs").exists()


def designs_of(study: str) -> list[str]:
    return [str(trial.job.design) for trial in Storage("runs").read(study).trials if trial.trained]


def test_what_is_enqueued_is_trained_first_in_the_space_or_not(launch: Search) -> None:
    name = launch("--budget", "4", "--enqueue", "cbam", "--enqueue", "ras", "--json").json["study"]
    assert designs_of(name)[:3] == ["none", "cbam", "ras"]
    assert launch("--budget", "5", "--json").json["trials"] == 5


def test_the_papers_designs_are_enqueued_where_they_are_in_the_space(launch: Search) -> None:
    ended = launch("--budget", "2", "--enqueue-papers", "--json")
    assert designs_of(ended.json["study"]) == ["none", "ras"]
    assert "of their designs are in the space, and come first" in ended.err


def test_trainings_of_another_study_count_where_they_would_be_the_same(launch: Search, here: Path) -> None:
    launch("--budget", "3", "--study", "one")
    (here / "wide.toml").write_text('attention = ["none", "se", "ras", "eca"]\n[se]\nreduction = [4, 16]')
    wide = launch("--budget", "4", "--study", "two", "--space", "wide.toml", "--from", "one", "--json")
    assert wide.json["trials"] == 4
    assert "from one: the same trainings" in wide.err
    before, after = (Storage("runs").read(study).trials for study in ("one", "two"))
    carried = {trial.job.candidate: trial for trial in after if trial.origin == "one"}
    assert carried
    for trial in before:
        if trial.job.candidate in carried:
            assert carried[trial.job.candidate].history == trial.history
    again = launch("--study", "two", "--space", "wide.toml", "--from", "one", "--budget", "4", "--json")
    assert again.json["epochs_trained"] == wide.json["epochs_trained"]
    assert "carried_over_from" in {tag for run in mlflow_runs() for tag in run.data.tags}


def test_of_a_study_of_other_trainings_the_best_designs_come_first(launch: Search) -> None:
    launch("--budget", "4", "--study", "one")
    ended = launch("--budget", "3", "--study", "two", "--seed", "7", "--from", "one", "--json")
    assert "from one: other trainings (seed); its best 3 designs come first" in ended.err
    trials = Storage("runs").read("two").trials
    assert not any(trial.origin for trial in trials)
    assert set(designs_of("two")) <= set(designs_of("one"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--enqueue", "sex"], "no attention 'sex'"),
        (["--enqueue", "se:stages=5"], "stages"),
        (["--from", "nowhere"], "no study"),
    ],
)
def test_what_cannot_come_first_is_one_line(launch: Search, here: Path, arguments: list[str], words: str) -> None:
    ended = launch("--budget", "2", *arguments)
    assert ended.code == 2
    assert words in ended.err.splitlines()[-1]
    assert not (here / "runs").exists()


def test_what_is_enqueued_must_be_within_the_limits(launch: Search, search: Search, here: Path) -> None:
    plain = search("profile", "none", "--channels", "1", "--no-fps", "--json").json["num_params"]
    ended = launch("--budget", "2", "--enqueue", "ras", "--max-params", str(plain))
    assert ended.code == 2
    assert f"which --max-params {plain} does not allow" in ended.err
    assert not (here / "runs").exists()
