"""A study of a database belongs to one process, wherever that runs, as long as it lives and not longer."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import optuna
import pytest
from sqlalchemy import Connection, Engine, Row, create_engine, select, text, update

from search import lease
from search.lease import LEASES, Lease
from search.storage import Storage
from space.errors import Stopped, UserError
from tests.postgres import Postgres

Sql = Callable[[str], int]


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Of a database without tables."""
    monkeypatch.chdir(tmp_path)
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/studies.db"
    made: str = request.getfixturevalue("postgres").made()
    return made


@pytest.fixture
def storage(url: str) -> Storage:
    return Storage(url)


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    engine = create_engine(url)
    yield engine
    engine.dispose()


@pytest.fixture
def sql(engine: Engine) -> Sql:
    """What somebody else does to the database: a statement; gives the rows that it met."""

    def run(statement: str) -> int:
        with engine.begin() as connection:
            return connection.execute(text(statement)).rowcount

    return run


@pytest.fixture
def study(storage: Storage) -> Iterator[optuna.Study]:
    """A study that this process is writing."""
    with storage.writing("study", ("maximize",), {}) as study:
        yield study


ELSEWHERE = "UPDATE attention_search_leases SET machine = 'another', host = 'far', pid = 7"
TAKEN_OVER = "UPDATE attention_search_leases SET holder = 'x', host = 'far', pid = 7"


def be_silent(engine: Engine, seconds: int) -> None:
    """Let the holder's last renewal be so much longer ago."""
    with engine.begin() as connection:
        renewed = connection.execute(select(LEASES.c.renewed)).scalar_one()
        connection.execute(update(LEASES).values(renewed=renewed - timedelta(seconds=seconds)))


def take(url: str) -> None:
    with Storage(url).writing("study", ("maximize",), {}):
        pass


def test_a_holder_on_another_machine_keeps_its_study_until_its_lease_ends(
    url: str, study: optuna.Study, engine: Engine, sql: Sql
) -> None:
    sql(ELSEWHERE)
    be_silent(engine, 40)
    with pytest.raises(UserError, match=r"process 7 on far; .* its hold ends in (1\d|20) s$"):
        take(url)
    be_silent(engine, 40)
    take(url)


def test_a_holder_on_this_machine_keeps_its_study_as_long_as_it_lives(
    url: str, study: optuna.Study, engine: Engine
) -> None:
    be_silent(engine, 4000)
    with pytest.raises(UserError, match=r"Ctrl-C$"):
        take(url)


@pytest.mark.parametrize("change", ["pid = 4194305", "started = '1'"], ids=["none of its number", "another one"])
def test_a_dead_holder_on_this_machine_has_lost_its_study(url: str, study: optuna.Study, sql: Sql, change: str) -> None:
    sql(f"UPDATE attention_search_leases SET {change}")
    take(url)


def test_a_study_that_was_taken_over_is_written_no_more(study: optuna.Study, storage: Storage, sql: Sql) -> None:
    study.set_user_attr("before", 1)
    storage.check()
    sql(TAKEN_OVER)
    with pytest.raises(Stopped, match="study study is no longer held: process 7 on far took it over"):
        study.set_user_attr("after", 1)
    with pytest.raises(Stopped):
        study.ask()
    with pytest.raises(Stopped):
        storage.check()
    assert sql("DELETE FROM study_user_attributes WHERE key = 'after'") == 0
    assert sql("DELETE FROM trials") == 0


def test_who_lost_a_study_does_not_let_go_of_it_for_its_new_holder(storage: Storage, sql: Sql) -> None:
    with storage.writing("study", ("maximize",), {}):
        sql(TAKEN_OVER)
    assert sql("DELETE FROM attention_search_leases WHERE host = 'far'") == 1


def test_a_study_that_nobody_writes_is_held_by_nobody(storage: Storage, sql: Sql) -> None:
    for _ in range(2):
        with storage.writing("study", ("maximize",), {}):
            pass
        assert sql("DELETE FROM attention_search_leases") == 0


def test_a_lease_is_renewed(monkeypatch: pytest.MonkeyPatch, storage: Storage, sql: Sql) -> None:
    monkeypatch.setattr(lease, "RENEWALS", 10_000)
    with storage.writing("study", ("maximize",), {}):
        give_up = time.monotonic() + 60
        while not sql("UPDATE attention_search_leases SET pid = pid WHERE renewals > 2"):
            assert time.monotonic() < give_up


def test_a_holder_that_the_database_does_not_answer_gives_up_after_its_lease(
    monkeypatch: pytest.MonkeyPatch, storage: Storage, sql: Sql
) -> None:
    monkeypatch.setattr(lease, "RENEWALS", 1_000)
    monkeypatch.setattr(lease, "LEASE_SECONDS", 0.2)
    with storage.writing("study", ("maximize",), {}):
        sql("ALTER TABLE attention_search_leases RENAME TO away")
        (held,) = storage._leases
        held._thread.join(60)
        with pytest.raises(Stopped, match="the database did not answer"):
            storage.check()
        sql("ALTER TABLE away RENAME TO attention_search_leases")


@pytest.mark.parametrize("before", ["a silent holder", "nobody"])
def test_of_several_processes_that_take_a_study_at_once_one_gets_it(
    before: str, engine: Engine, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Lease(engine, "study"):
        pass
    if before == "a silent holder":
        sql(
            "INSERT INTO attention_search_leases VALUES ('study', 'x', 'far', 'another', 7, '1', '2026-01-01 00:00', 0)"
        )
    looked, tried = threading.Barrier(3), threading.Barrier(3)
    there, seen = Lease._there, set[Lease]()

    def see_the_same(taker: Lease, connection: Connection) -> Row[Any] | None:
        row = there(taker, connection)
        if taker not in seen:
            seen.add(taker)
            looked.wait(60)
        return row

    def gets_it(taker: Lease) -> bool:
        try:
            with taker:
                tried.wait(60)
        except UserError:
            tried.wait(60)
            return False
        return True

    monkeypatch.setattr(Lease, "_there", see_the_same)
    with ThreadPoolExecutor(3) as threads:
        assert sorted(threads.map(gets_it, [Lease(engine, "study") for _ in range(3)])) == [False, False, True]


def test_processes_that_make_a_database_at_once_all_find_it_made(url: str) -> None:
    at_once = threading.Barrier(4)

    def make(number: int) -> bool:
        storage = Storage(url)
        at_once.wait(60)
        with storage.writing(f"study{number}", ("maximize",), {}):
            return True

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(make, range(4)))


def test_a_database_that_lost_a_table_is_told_in_one_line(storage: Storage, sql: Sql) -> None:
    with storage.writing("study", ("maximize",), {}):
        pass
    sql("ALTER TABLE study_user_attributes RENAME TO away")
    one_line = r"^the database .* does not answer: .*study_user_attributes.*$"
    for use in (storage.names, lambda: storage.read("study"), storage.writing("study", ("maximize",), {}).__enter__):
        with pytest.raises(Stopped, match=one_line):
            use()


def test_a_server_that_goes_away_is_told_in_one_line_and_found_again(postgres: Postgres) -> None:
    storage = Storage(postgres.made())
    with storage.writing("study", ("maximize",), {}):
        pass
    postgres.stop()
    try:
        with pytest.raises(Stopped, match=r"^the database .* does not answer: .*refused.*$"):
            storage.read("study")
    finally:
        postgres.start()
    assert storage.read("study").trials == []
