"""`search launch`: what it trains, says and leaves."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from optuna.storages.journal import JournalFileBackend

from tests.pipelines.conftest import Ended, Search, write_folder


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
        assert list(replays.values()) == [1] * (name != "launch"), name  # a new one holds what was just written


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
