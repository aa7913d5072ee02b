"""Studies on disk and in databases: made, found, written by one process, read by any."""

import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

import search.storage as storage_module
from search.ledger import Ledger
from search.storage import Storage
from search.trials import State, Trial
from space.errors import Stopped, UserError
from tests.objectives import OBJECTIVES

WRITER = """
import sys
from search.storage import Storage
with Storage(sys.argv[1]).writing("study", ("maximize",), {"owner": "child"}):
    print("writing", flush=True)
    sys.stdin.read()
"""


def place(kind: str, folder: Path, request: pytest.FixtureRequest) -> str:
    """A place for studies: a folder, or a database."""
    if kind == "postgres":
        made: str = request.getfixturevalue("postgres").made()
        return made
    return str(folder / "runs") if kind == "folder" else f"sqlite:///{folder}/studies.db"


@pytest.fixture(params=["folder", "sqlite", "postgres"])
def where(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A place for studies: a folder, or a database beside which the files lie."""
    monkeypatch.chdir(tmp_path)
    return place(request.param, tmp_path, request)


@pytest.fixture
def storage(where: str) -> Storage:
    return Storage(where)


@contextmanager
def another_writer(where: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that is writing the study for as long as the context lasts."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, where], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "writing\n"
            yield process
        finally:
            process.kill()


@dataclass
class Written:
    """A study that another process is writing."""

    where: str
    pid: int


@pytest.fixture(scope="module", params=["folder", "sqlite", "postgres"])
def _written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Written]:
    folder = tmp_path_factory.mktemp("written")
    where = place(request.param, folder, request)
    with another_writer(where, folder) as process:
        yield Written(where, process.pid)


@pytest.fixture
def written(_written: Written, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Written:
    """A study that another process is writing, seen from another working folder."""
    monkeypatch.chdir(tmp_path)
    return _written


def test_what_was_written_is_read(storage: Storage, search: Callable[..., list[Trial]]) -> None:
    trials = search(storage)
    record = storage.read("study")
    assert (record.name, record.attributes["made_for"]) == ("study", "study")
    assert [(t.number, t.state, t.job, t.history) for t in record.trials] == [
        (t.number, t.state, t.job, t.history) for t in trials
    ]


def test_a_study_can_be_read_while_it_is_written(
    where: str, storage: Storage, make_ledger: Callable[..., Ledger]
) -> None:
    with storage.writing("study", OBJECTIVES.directions, {}) as study:
        ledger = make_ledger(study)
        for open_trials in (1, 2, 3):
            ledger.ask()
            states = [trial.state for trial in Storage(where).read("study").trials]
            assert states == [State.RUNNING] * open_trials


def test_what_a_study_is_made_with_is_kept_when_it_is_opened_again(storage: Storage) -> None:
    for seed in (1, 2):
        with storage.writing("study", ("maximize",), {"seed": seed, "space": ["se"]}):
            attributes = storage.read("study").attributes
            assert (attributes["seed"], attributes["space"]) == (1, ["se"])


def test_what_is_stored_with_a_study_later_is_read_beside_it(storage: Storage) -> None:
    with storage.writing("study", ("maximize",), {"seed": 1}) as study:
        study.set_user_attr("budget", 7)
    attributes = storage.read("study").attributes
    assert (attributes["seed"], attributes["budget"]) == (1, 7)


def test_a_search_goes_on_in_the_storage_where_it_stopped(
    where: str, tmp_path: Path, search: Callable[..., list[Trial]], story: Callable[[list[Trial]], list[object]]
) -> None:
    search(Storage(where), budget=2)
    resumed = search(Storage(where), budget=4)
    assert story(resumed) == story(search(Storage(str(tmp_path / "other")), budget=4))


def test_a_second_writer_is_told_which_process_is_the_first(written: Written) -> None:
    with (
        pytest.raises(UserError, match=f"study study is being run by process {written.pid} on {socket.gethostname()};"),
        Storage(written.where).writing("study", ("maximize",), {}),
    ):
        pytest.fail("two processes write one study")


def test_a_second_writer_changes_nothing(written: Written) -> None:
    before = Storage(written.where).read("study")
    with pytest.raises(UserError), Storage(written.where).writing("study", ("maximize",), {"owner": "me"}):
        pass
    assert Storage(written.where).read("study") == before
    assert before.attributes["owner"] == "child"


def test_other_studies_can_be_written_meanwhile(written: Written) -> None:
    with Storage(written.where).writing("other", ("maximize",), {}):
        assert Storage(written.where).exists("other")


def test_a_killed_writer_leaves_a_study_that_can_be_written(where: str, tmp_path: Path) -> None:
    with another_writer(where, tmp_path) as process:
        process.kill()
        process.wait()
        with Storage(where).writing("study", ("maximize",), {"owner": "me"}) as study:
            study.set_user_attr("mine", True)
    attributes = Storage(where).read("study").attributes
    assert (attributes["owner"], attributes["mine"]) == ("child", True)


def test_a_writer_that_raised_lets_go_of_the_study(storage: Storage) -> None:
    with pytest.raises(ZeroDivisionError), storage.writing("study", ("maximize",), {}):
        raise ZeroDivisionError
    with storage.writing("study", ("maximize",), {}):
        pass


def test_names_end_with_the_study_made_last(storage: Storage, search: Callable[..., list[Trial]]) -> None:
    for name in ("b", "c", "a"):
        search(storage, name, budget=1)
    assert storage.names() == ["b", "c", "a"]
    assert storage.find(None) == "a"


def test_names_end_with_the_study_written_last(storage: Storage, search: Callable[..., list[Trial]]) -> None:
    search(storage, "first", budget=1)
    search(storage, "second", budget=1)
    search(storage, "first", budget=2)
    assert storage.names() == ["second", "first"]
    assert storage.find(None) == "first"


def test_what_belongs_to_a_search_is_not_one(storage: Storage, search: Callable[..., list[Trial]]) -> None:
    search(storage, "first", budget=1)
    search(storage, "first/retrain", budget=1)
    assert storage.names() == ["first"]
    assert storage.exists("first/retrain")


def test_a_study_exists_once_it_was_made(storage: Storage) -> None:
    assert not storage.exists("study")
    with storage.writing("study", ("maximize",), {}):
        assert storage.exists("study")
    assert storage.exists("study")


def test_find_gives_the_study_of_the_name(storage: Storage, search: Callable[..., list[Trial]]) -> None:
    search(storage, "one", budget=1)
    search(storage, "two", budget=1)
    assert storage.find("one") == "one"


def test_an_unknown_study_is_answered_with_the_known_ones(storage: Storage, search: Callable[..., list[Trial]]) -> None:
    search(storage, "one", budget=1)
    search(storage, "two", budget=1)
    with pytest.raises(UserError, match=r"no study 'three' in .*; there are one, two"):
        storage.find("three")


@pytest.mark.parametrize("name", [None, "some"])
def test_a_place_without_studies_says_how_to_make_one(storage: Storage, name: str | None) -> None:
    with pytest.raises(UserError, match="search launch"):
        storage.find(name)


def test_looking_for_studies_makes_no_folder(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path / "runs"))
    assert storage.names() == []
    assert not storage.exists("study")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    "url",
    ["nosuchdb://here", "sqlite:////nowhere/at/all/x.db", "://"],
    ids=["unknown database", "no folder", "no name"],
)
def test_a_url_that_cannot_be_opened_is_told_in_one_line(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="--storage") as raised:
        Storage(url).names()
    assert "\n" not in str(raised.value)
    assert url in str(raised.value)


def test_a_database_whose_driver_is_missing_says_what_brings_one() -> None:
    with pytest.raises(UserError, match=r"driver of this database is not installed.*attention-search\[postgres\]"):
        Storage("postgresql+psycopg2://me@127.0.0.1:1/studies").names()


def test_a_sqlite_file_that_another_process_is_writing_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path}/studies.db"
    (tmp_path / "studies.db").touch()
    monkeypatch.setattr(storage_module, "PATIENCE_SECONDS", 0.001)
    impatient = Storage(url)
    assert not impatient.exists("study")
    with closing(sqlite3.connect(tmp_path / "studies.db", isolation_level=None)) as database:
        database.execute("BEGIN EXCLUSIVE")
        with pytest.raises(Stopped, match="does not answer: database is locked"):
            impatient.exists("study")
        database.execute("ROLLBACK")
    assert not impatient.exists("study")
