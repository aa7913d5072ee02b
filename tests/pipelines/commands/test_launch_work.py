"""What `search launch` trains first, again, in part, and how much of it."""

from pathlib import Path

import pytest

from search.storage import Storage
from search.trials import State
from tests.pipelines.conftest import Search, mlflow_runs


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
