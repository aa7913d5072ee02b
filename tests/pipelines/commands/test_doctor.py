"""`search doctor`: what is torn or left over is told, and mended only when that is said."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from search.journal import JOURNAL
from search.storage import Storage
from tests.pipelines.conftest import Search, mlflow_runs

STUDY = ("--study", "mine")
TEARS: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda line: line[: len(line) // 2] + b"\n",
    "zeros": lambda line: b"\0" * (len(line) - 1) + b"\n",
    "no operation": lambda line: b"[1, 2]\n",
    "no text": lambda line: b"\xff\xfe" + line,
}


@pytest.fixture
def mine(launch: Search) -> Path:
    """The folder of a study with three trials."""
    assert launch(*STUDY, "--budget", "3").code == 0
    return Path("runs/mine")


def content(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "lock"}


def test_where_all_is_well_it_says_so(mine: Path, search: Search) -> None:
    ended = search("doctor")
    assert (ended.code, ended.err) == (0, "1 studies; nothing is torn, doubled or left over.\n")
    assert search("doctor", "mine", "--json").json == []


@pytest.mark.parametrize("tear", TEARS)
@pytest.mark.parametrize("place", [0.3, 0.9])
def test_a_journal_that_is_torn_is_a_line_until_it_is_mended_and_then_the_study_goes_on(
    tear: str, place: float, mine: Path, launch: Search, search: Search
) -> None:
    journal = mine / JOURNAL
    lines = journal.read_bytes().splitlines(keepends=True)
    torn = int(place * len(lines))
    lines[torn] = TEARS[tear](lines[torn])
    journal.write_bytes(b"".join(lines))
    before = content(mine)

    for command in (["status", "mine"], ["front"], ["launch", *STUDY, "--budget", "3"], ["retrain", "mine"]):
        ended = search(*command)
        assert (ended.code, ended.out, len(ended.err.splitlines())) == (2, "", 1)
        assert f"line {torn + 1} of" in ended.err
    listed = search("status")
    assert listed.code == 0
    assert f"line {torn + 1} of" in listed.err
    told = search("doctor", "--json")
    assert told.code == 1
    assert [(it["study"], it["serious"], it["mended"]) for it in told.json] == [("mine", True, "")]
    assert content(mine) == before

    assert search("doctor", "--mend").code == 0
    assert (mine / f"{JOURNAL}.torn-0").read_bytes() == b"".join(lines)
    assert journal.read_bytes() == b"".join(lines[:torn])
    if place > 0.5:
        assert launch(*STUDY, "--budget", "3").code == 0
        counts = search("status", "mine", "--json").json
        assert (counts["complete"], counts["running"]) == (3, 0)
        runs = {run.info.run_id: run.data.tags["design"] for run in mlflow_runs()}
        front = search("front", "--json").json["params"]
        assert front
        assert all(runs[row["mlflow_run_id"]] == row["design"] for row in front)
        assert search("doctor", "--json").json == []


def test_what_is_left_over_is_told_and_goes_away_when_that_is_said(mine: Path, search: Search) -> None:
    whole = content(mine)
    journal = mine / JOURNAL
    with journal.open("ab") as file:
        file.write(b'{"op_code":4,')
    (mine / f"{JOURNAL}.lock").symlink_to(journal.absolute())
    (mine / "checkpoints").mkdir(exist_ok=True)
    uid = Storage().read("mine").attributes["uid"][:8]
    (mine / "checkpoints" / f"1-{uid}.pt").write_bytes(b"x" * 100)
    (mine / "checkpoints" / f"2-{uid}.pt.ab.partial").write_bytes(b"x")
    another = mine / "checkpoints" / "1-ffffffff.pt"
    another.write_bytes(b"a study of this name in a database")
    before = content(mine)

    told = search("doctor", "--json")
    assert told.code == 0
    assert len(told.json) == 2
    assert all(it["can_be_mended"] and not it["mended"] for it in told.json)
    assert content(mine) == before

    assert all(it["mended"] for it in json.loads(search("doctor", "--mend", "--json").out))
    assert content(mine) == {**whole, str(another): another.read_bytes()}
    assert not (mine / f"{JOURNAL}.lock").is_symlink()
    assert search("doctor", "--json").json == []


def test_a_study_that_is_being_written_is_left_alone(mine: Path, search: Search) -> None:
    (mine / "left.partial").touch()
    with Storage().held("mine"):
        (told,) = search("doctor", "--mend", "--json").json
    assert "is being run by process" in told["says"]
    assert (mine / "left.partial").exists()


def test_a_trial_on_its_way_is_told_with_what_takes_it_up(launch: Search, search: Search) -> None:
    launch(*STUDY, "--budget", "3", "--time-limit", "1s")
    told = search("doctor", "--json").json
    running = search("status", "mine", "--json").json["running"]
    assert [it["remedy"] for it in told] == ["the same command goes on with them"] * bool(running)


def test_a_study_in_a_database_leaves_the_files_of_one_beside_it_alone(
    mine: Path, launch: Search, search: Search
) -> None:
    database = ("--storage", "sqlite:///studies.db")
    assert launch(*STUDY, *database, "--budget", "2").code == 0
    with (mine / JOURNAL).open("ab") as file:
        file.write(b"half a line")
    before = content(mine)
    assert search("doctor", *database, "--mend", "--json").json == []
    assert content(mine) == before


def test_in_mlflow_a_number_that_was_given_out_twice_is_two_runs(mine: Path, launch: Search, search: Search) -> None:
    journal = mine / JOURNAL
    before = {trial.number: str(trial.job.design) for trial in Storage().read("mine").trials}
    lines = journal.read_bytes().splitlines(keepends=True)
    lines[len(lines) // 3] = b"torn\n"
    journal.write_bytes(b"".join(lines))
    assert search("doctor", "--mend").code == 0
    assert launch(*STUDY, "--budget", "5", "--sampler", "random").code == 0

    trained = [trial for trial in Storage().read("mine").trials if trial.trained]
    assert any(before.get(trial.number) != str(trial.job.design) for trial in trained if trial.number in before), "tame"
    finished = {(run.data.tags["trial"], run.data.tags["design"]) for run in mlflow_runs()}
    assert {(str(trial.number), str(trial.job.design)) for trial in trained} <= finished
