"""States of trials: taken up by their owner alone, whole or not at all, and never a reason to fail."""

import io
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from upath import UPath

from search.checkpoints import Checkpoint, Checkpoints
from search.execution import Evaluate, Execution, Progress, ResumableTraining
from search.ledger import Ledger
from search.local_engine import LocalEngine
from search.trials import Job, Report

EPOCHS = 4


def never() -> bool:
    return False


def to_the_end(running: Execution) -> Progress:
    return running.advance(seconds=1e9)


def without_time(reports: tuple[Report, ...]) -> list[dict[str, float]]:
    return [{name: value for name, value in report.items() if name != "time"} for report in reports]


@pytest.fixture
def job(make_job: Callable[..., Job]) -> Job:
    return make_job("ras:depth=3", seed=7)


@pytest.fixture(params=["folder", "store"])
def checkpoint(request: pytest.FixtureRequest, tmp_path: Path, job: Job) -> Checkpoint:
    folder = UPath(tmp_path) if request.param == "folder" else UPath(f"memory://{tmp_path}")
    return Checkpoints(folder, "mine").of(0, job)


@pytest.fixture
def evaluate(make_curves: Callable[..., Evaluate]) -> Evaluate:
    return make_curves(epochs=EPOCHS)


@pytest.fixture
def uninterrupted(job: Job, evaluate: Evaluate, tmp_path: Path) -> list[dict[str, float]]:
    """What the job reports if nothing comes between."""
    nowhere = Checkpoints(tmp_path / "nowhere", "mine").of(0, job)
    return without_time(to_the_end(Execution(job, evaluate, nowhere)).reports)


@pytest.fixture
def half_way(job: Job, evaluate: Evaluate) -> Callable[[Checkpoint], None]:
    """Trains two of the epochs and saves them."""

    def train(checkpoint: Checkpoint) -> None:
        running = Execution(job, evaluate, checkpoint)
        for _ in range(2):
            running.advance(seconds=0.0)
        running.save()
        assert running.notes() == ()

    return train


def test_of_all_studies_jobs_and_seeds_one_takes_a_state_up(
    make_job: Callable[..., Job], evaluate: Evaluate, tmp_path: Path
) -> None:
    """Those of one study keep it in the same file."""
    jobs = [make_job(), make_job(seed=1), make_job("eca"), make_job(num_params=999), make_job(fps=499.9)]
    owners = [(study, job) for study in ("mine", "yours") for job in jobs]
    for study, job in owners:
        saved = {"owner": study, "job": job.to_json()}
        Checkpoints(tmp_path, study).of(3, job).save(saved)
        for other, another in owners:
            try:
                loaded = Checkpoints(tmp_path, other).of(3, another).load()
            except ValueError:
                loaded = None
            assert (loaded == saved) is ((other, another) == (study, job))


def test_what_is_left_of_trials_that_are_over_is_swept_away_and_nothing_else(job: Job, tmp_path: Path) -> None:
    mine, theirs = Checkpoints(tmp_path, "mine"), Checkpoints(tmp_path, "theirs")
    for number in (0, 1, 10):
        mine.of(number, job).save({})
        theirs.of(number, job).save({})
    (tmp_path / "1-mine.pt.0f.partial").touch()
    replace(mine, keep=True).sweep(running=[1])
    assert len(list(tmp_path.iterdir())) == 7
    mine.sweep(running=[1])
    assert sorted(path.name for path in tmp_path.iterdir() if "mine" in path.name) == ["1-mine.pt"]
    assert len(list(tmp_path.iterdir())) == 4


def test_two_studies_in_one_folder_keep_what_the_other_saved(job: Job, tmp_path: Path) -> None:
    ours, theirs = (Checkpoints(tmp_path, study).of(3, job) for study in ("ours", "theirs"))
    ours.save({"epoch": 1})
    theirs.save({"epoch": 2})
    theirs.remove()
    assert ours.load() == {"epoch": 1}


@pytest.mark.parametrize("whose", ["another study", "another design", "another seed"])
def test_a_trial_that_finds_the_state_of_another_gives_its_own_numbers(
    whose: str,
    job: Job,
    evaluate: Evaluate,
    checkpoint: Checkpoint,
    make_job: Callable[..., Job],
    uninterrupted: list[dict[str, float]],
    tmp_path: Path,
) -> None:
    other = {"another study": job, "another design": make_job("eca", 7), "another seed": make_job("ras:depth=3", 8)}
    theirs = Checkpoints(tmp_path, "theirs" if whose == "another study" else "mine").of(0, other[whose])
    theirs = replace(theirs, path=checkpoint.path)
    Execution(other[whose], evaluate, theirs).advance(seconds=0.0)
    running = Execution(other[whose], evaluate, theirs)
    running.advance(seconds=0.0)
    running.save()

    mine = to_the_end(Execution(job, evaluate, checkpoint))
    assert without_time(mine.reports) == uninterrupted
    assert len(mine.notes) == 1, "the user is told"


def test_a_number_that_another_study_used_trains_its_own_design(
    make_ledger: Callable[..., Ledger],
    make_study: Callable[..., Any],
    make_curves: Callable[..., Evaluate],
    story: Callable[[list[Any]], list[object]],
    run: Callable[..., Ledger],
    tmp_path: Path,
) -> None:
    """Two databases used from one folder: the second finds the first one's states under its own trials' numbers."""
    first = make_ledger(make_study(), seed=1)
    LocalEngine().run(first, make_curves(), Checkpoints(tmp_path / "shared", "first"), stop_at_epoch(first, 4))
    assert list((tmp_path / "shared").iterdir())
    second = make_ledger(make_study(), seed=2)
    LocalEngine().run(second, make_curves(), Checkpoints(tmp_path / "shared", "second"), never)
    assert story(second.trials) == story(run(make_ledger(make_study(), seed=2)).trials)


def stop_at_epoch(ledger: Ledger, epochs: int) -> Callable[[], bool]:
    return lambda: sum(len(trial.history) for trial in ledger.trials) >= epochs


@pytest.mark.parametrize("kept", [0.0, 0.01, 0.3, 0.6, 0.9, 0.999])
def test_after_any_truncation_a_trial_gives_the_numbers_of_an_uninterrupted_one(
    kept: float,
    job: Job,
    evaluate: Evaluate,
    checkpoint: Checkpoint,
    half_way: Callable[[Checkpoint], None],
    uninterrupted: list[dict[str, float]],
) -> None:
    half_way(checkpoint)
    whole = checkpoint.path.read_bytes()
    checkpoint.path.write_bytes(whole[: int(kept * len(whole))])
    progress = to_the_end(Execution(job, evaluate, checkpoint))
    assert progress.failure is None
    assert without_time(progress.reports) == uninterrupted
    assert len(progress.notes) == 1, "the user is told"


@pytest.mark.parametrize(
    "content", [b"no checkpoint", b"\0" * 4096, torch.zeros(2), {"training": {}, "reports": []}, {"owner": None}]
)
def test_whatever_lies_there_is_no_reason_to_fail(
    content: object, job: Job, evaluate: Evaluate, checkpoint: Checkpoint, uninterrupted: list[dict[str, float]]
) -> None:
    if isinstance(content, bytes):
        checkpoint.path.write_bytes(content)
    else:
        torch.save(content, packed := io.BytesIO())
        checkpoint.path.write_bytes(packed.getvalue())
    progress = to_the_end(Execution(job, evaluate, checkpoint))
    assert progress.failure is None
    assert without_time(progress.reports) == uninterrupted


class OtherCode:
    """A training that finds out that a state is not its own when it has taken up half of it."""

    def __init__(self, training: ResumableTraining) -> None:
        self._training = training

    @property
    def done(self) -> bool:
        return self._training.done

    def step(self) -> Mapping[str, float]:
        return self._training.step()

    def state_dict(self) -> dict[str, Any]:
        return self._training.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._training.load_state_dict(state)
        raise KeyError("unexpected key")

    def halve_batches(self) -> None:
        self._training.halve_batches()


def test_a_state_of_another_version_of_the_code_restarts_the_trial(
    job: Job,
    evaluate: Evaluate,
    checkpoint: Checkpoint,
    half_way: Callable[[Checkpoint], None],
    uninterrupted: list[dict[str, float]],
) -> None:
    half_way(checkpoint)
    progress = to_the_end(Execution(job, lambda *what: OtherCode(evaluate(*what)), checkpoint))
    assert progress.failure is None
    assert without_time(progress.reports) == uninterrupted


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every state goes to a device that is full."""
    save = torch.save
    monkeypatch.setattr(torch, "save", lambda state, path: save(state, "/dev/full"))


@pytest.mark.usefixtures("full_disk")
def test_a_save_that_fails_loses_no_trial_and_is_told_once(
    job: Job,
    evaluate: Evaluate,
    checkpoint: Checkpoint,
    uninterrupted: list[dict[str, float]],
) -> None:
    running = Execution(job, evaluate, checkpoint)
    notes: list[str] = []
    reports: list[Report] = []
    over = False
    while not over:
        progress = running.advance(seconds=0.0)
        notes += progress.notes
        reports += progress.reports
        over = progress.over
        running.save()
    assert progress.failure is None
    assert without_time(tuple(reports)) == uninterrupted
    assert len(notes) == 1
    assert not checkpoint.path.exists()


def test_a_save_that_fails_leaves_the_last_one_whole(
    job: Job,
    evaluate: Evaluate,
    checkpoint: Checkpoint,
    half_way: Callable[[Checkpoint], None],
    uninterrupted: list[dict[str, float]],
    request: pytest.FixtureRequest,
) -> None:
    half_way(checkpoint)
    request.getfixturevalue("full_disk")
    running = Execution(job, evaluate, checkpoint)
    running.advance(seconds=0.0)
    running.save()
    saved = checkpoint.load()
    assert saved is not None
    assert [report["epoch"] for report in saved["reports"]] == [1, 2]
    assert without_time(to_the_end(Execution(job, evaluate, checkpoint)).reports) == uninterrupted


def test_saving_again_and_again_leaves_one_file(job: Job, evaluate: Evaluate, checkpoint: Checkpoint) -> None:
    running = Execution(job, evaluate, checkpoint)
    for _ in range(2):
        running.advance(seconds=0.0)
        running.save()
        assert list(checkpoint.path.parent.iterdir()) == [checkpoint.path]


def test_removing_takes_what_a_killed_process_was_writing_and_nothing_of_other_trials(job: Job, tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, "mine")
    for number in (1, 11, 2):
        checkpoints.of(number, job).save({})
    (tmp_path / "1-mine.pt.0123.partial").touch()
    checkpoints.of(1, job).remove()
    checkpoints.of(1, job).remove()
    assert {path.name for path in tmp_path.iterdir()} == {"11-mine.pt", "2-mine.pt"}


def test_what_a_trial_has_to_say_is_logged_where_the_ledger_is(
    make_ledger: Callable[..., Ledger],
    make_study: Callable[..., Any],
    make_curves: Callable[..., Evaluate],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "1-mine.pt").touch()
    ledger = make_ledger(make_study(), budget=3)
    with caplog.at_level(logging.WARNING, logger="search"):
        LocalEngine().run(ledger, make_curves(), Checkpoints(tmp_path, "mine"), never)
    assert ledger.trained == 3
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith("trial 1: ")
    assert str(tmp_path / "1-mine.pt") in said
