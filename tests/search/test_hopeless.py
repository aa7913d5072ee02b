"""A search ends by itself only when nothing gives hope."""

import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import optuna
import pytest

from search.checkpoints import Checkpoints
from search.engine import record
from search.execution import Progress
from search.hopeless import HANDFUL, IN_A_ROW, hopeless
from search.ledger import Ledger
from search.trials import Failure, FailureKind, Job, State, Trial

OWN = [FailureKind.NAN, FailureKind.OUT_OF_MEMORY, FailureKind.TIMEOUT]
MACHINES = [FailureKind.ERROR, FailureKind.DEVICE, FailureKind.LOST_WORKER]


@pytest.fixture
def make(make_job: Callable[..., Job]) -> Callable[..., Trial]:
    """Makes a trial of a design of its own: (end=RUNNING, epochs=0, worker="a"); the end is a state or a kind."""
    numbers = iter(range(1_000_000))

    def one(end: FailureKind | State = State.RUNNING, epochs: int = 0, worker: str = "a") -> Trial:
        number = next(numbers)
        return Trial(
            number=number,
            state=State.FAILED if isinstance(end, FailureKind) else end,
            job=replace(make_job(), backbone=f"backbone{number}"),
            history=tuple({"epoch": float(epoch + 1)} for epoch in range(epochs)),
            failure=Failure(kind=end, reason="x") if isinstance(end, FailureKind) else None,
            started=datetime(2026, 1, 1),
            worker=worker,
        )

    return one


def several(make: Callable[..., Trial], kinds: Sequence[FailureKind], count: int, **how: object) -> list[Trial]:
    """So many failures, of these kinds in turn."""
    return [make(kinds[n % len(kinds)], **how) for n in range(count)]


@pytest.mark.parametrize("seed", range(20))
def test_a_search_with_failures_of_designs_own_fault_among_successes_always_goes_on(
    seed: int, make: Callable[..., Trial]
) -> None:
    """However many they are, whatever was first, and whichever session trained something."""
    rng = random.Random(seed)
    trials = [make(rng.choice(OWN), epochs=rng.randrange(3)) for _ in range(rng.randrange(40))]
    trials.insert(rng.randrange(len(trials) + 1), make(rng.choice([State.COMPLETE, State.STOPPED]), epochs=3))
    for launched in range(len(trials) + 1):
        assert hopeless(trials[:launched], trials[launched:], []) == []


@pytest.mark.parametrize("failures", range(2 * HANDFUL))
@pytest.mark.parametrize("before", [0, 1, 3])
def test_a_handful_of_designs_that_fail_by_their_own_fault_end_a_search_in_which_nothing_ever_trained(
    failures: int, before: int, make: Callable[..., Trial]
) -> None:
    failed = several(make, OWN, failures)
    assert bool(hopeless(failed[:before], failed[before:], [])) == (failures >= HANDFUL)


def test_one_design_that_fails_again_and_again_is_no_handful_of_designs(make: Callable[..., Trial]) -> None:
    one = make(FailureKind.NAN)
    assert hopeless([], [one] * 3 * HANDFUL, []) == []


@pytest.mark.parametrize("epochs", [0, 2])
def test_while_a_trial_gets_further_than_all_that_failed_there_is_hope(epochs: int, make: Callable[..., Trial]) -> None:
    """Five out of memory, one still training."""
    failed = several(make, OWN, 3 * HANDFUL, epochs=epochs)
    assert hopeless([], failed, [make(epochs=epochs)]) == failed
    assert hopeless([], failed, [make(epochs=epochs), make(epochs=epochs + 1)]) == []


@pytest.mark.parametrize("seed", range(20))
def test_a_search_ends_after_so_many_of_the_machines_failures_in_a_row_and_no_earlier(
    seed: int, make: Callable[..., Trial]
) -> None:
    """Failures that are their designs' own neither count nor break the row; a success breaks it."""
    rng = random.Random(seed)
    ended = [make(State.COMPLETE)]
    in_a_row = 0
    while in_a_row < IN_A_ROW:
        assert hopeless([], ended, []) == []
        ended.append(make(rng.choice([*OWN, *MACHINES, *MACHINES, *MACHINES, State.COMPLETE])))
        in_a_row = 0 if ended[-1].trained else in_a_row + (not own(ended[-1]))
    assert len(hopeless([], ended, [])) == IN_A_ROW


def own(trial: Trial) -> bool:
    return trial.failure is not None and trial.failure.own


def test_a_session_is_not_ended_for_what_a_machine_did_to_an_earlier_one(make: Callable[..., Trial]) -> None:
    """It may be mended; what designs did of their own comes again."""
    lost, broken = several(make, MACHINES, 3 * IN_A_ROW), several(make, OWN, 3 * HANDFUL)
    assert hopeless(lost, [], []) == hopeless(broken, [], []) == []
    for ended in (make(FailureKind.NAN), make(FailureKind.LOST_WORKER)):
        assert hopeless(lost, [ended], []) == []
        assert hopeless(broken, [ended], []) == [*broken, ended]


def test_where_one_worker_alone_fails_and_others_train_the_worker_is_to_blame(make: Callable[..., Trial]) -> None:
    trained = [make(State.COMPLETE, worker="good"), make(State.COMPLETE, worker="bad")]
    bad = several(make, MACHINES, 2 * IN_A_ROW, worker="bad")
    for count in range(2 * IN_A_ROW):
        assert hopeless([], [*trained, *bad[:count]], []) == []
    assert hopeless([], [*trained, *bad], []) == bad, "it does not go through the whole space"


@pytest.mark.parametrize(
    ("others", "trained_on"),
    [(["bad", "worse"], "good"), (["bad"], "bad"), ([""], "good")],
    ids=["two workers fail", "no other trains", "nobody knows where"],
)
def test_otherwise_the_worker_is_not(others: list[str], trained_on: str, make: Callable[..., Trial]) -> None:
    row = [make(FailureKind.DEVICE, worker=others[n % len(others)]) for n in range(IN_A_ROW)]
    assert hopeless([], [make(State.COMPLETE, worker=trained_on), *row], []) == row


def fail(ledger: Ledger, kind: FailureKind) -> None:
    """Ask for a trial and have it fail."""
    trial = ledger.ask()
    assert trial is not None
    ledger.tell_failed(trial.number, Failure(kind=kind, reason="x"))


@pytest.mark.parametrize("kind", [FailureKind.OUT_OF_MEMORY, FailureKind.ERROR], ids=str)
def test_a_hopeless_ledger_waits_for_what_is_on_its_way_and_goes_on_if_that_gives_hope(
    kind: FailureKind, make_ledger: Callable[..., Ledger], make_study: Callable[..., optuna.Study]
) -> None:
    ledger = make_ledger(make_study(), budget=20)
    slow = ledger.ask()
    assert slow is not None
    for _ in range(HANDFUL):
        fail(ledger, kind)
    assert ledger.ask() is None
    assert ledger.running, "nothing ends what is on its way"
    ledger.report(slow.number, {"epoch": 1.0, "val_accuracy": 0.5})
    ledger.tell_complete(slow.number)
    assert ledger.ask() is not None


def test_that_nothing_new_is_begun_is_said_while_something_is_on_its_way(
    make_ledger: Callable[..., Ledger],
    make_study: Callable[..., optuna.Study],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    ledger = make_ledger(make_study(), budget=20)
    ledger.ask()
    with caplog.at_level(logging.WARNING, logger="search"):
        for _ in range(HANDFUL):
            assert not caplog.records
            trial = ledger.ask()
            assert trial is not None
            failed = Progress((), done=False, failure=Failure(kind=FailureKind.ERROR, reason="the disk is away"))
            record(ledger, trial.number, failed, Checkpoints(tmp_path, "study").of(trial.number, trial.job))
    (said,) = [line.getMessage() for line in caplog.records]
    assert "no other begins" in said
    assert "the disk is away" in said


def test_a_ledger_told_that_nan_is_a_result_goes_on_however_many_there_are(
    make_ledger: Callable[..., Ledger], make_study: Callable[..., optuna.Study]
) -> None:
    for is_a_result in (True, False):
        ledger = make_ledger(make_study(), budget=20, nan_is_a_result=is_a_result)
        for _ in range(HANDFUL):
            fail(ledger, FailureKind.NAN)
        assert (ledger.ask() is not None) == is_a_result


def test_a_ledger_opened_again_begins_with_hope(
    make_ledger: Callable[..., Ledger], make_study: Callable[..., optuna.Study]
) -> None:
    study = make_study()
    ledger = make_ledger(study)
    for _ in range(HANDFUL):
        fail(ledger, FailureKind.NAN)
    assert ledger.ask() is None
    again = make_ledger(study)
    fail(again, FailureKind.NAN)
    assert again.ask() is None
