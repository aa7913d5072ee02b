"""A search killed after any write goes on as if nothing had happened.

A journal is a list of writes, so a process killed at some moment leaves a journal cut after some line.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages.journal._storage import JournalOperation

from search.checkpoints import Checkpoints
from search.execution import Evaluate
from search.ledger import GoesOn, Ledger
from search.local_engine import LocalEngine
from search.storage import Storage
from search.trials import JOB, ORIGIN, OUTCOME, PASSED, State, Trial
from space.cost import Limit, within
from space.design import Design
from space.seeds import mix_seed
from tests.objectives import PARAMS

pytestmark = pytest.mark.faults
Log = dict[str, Any]

BEGUN = "an optuna trial was begun"
DECIDED = "a decision was made"
JOB_GIVEN = "the job was written"
RUNG_PASSED = "a rung was passed"
OUTCOME_WRITTEN = "the outcome was written"
CLOSED = "the trial was closed"

CUTS = {
    JournalOperation.CREATE_TRIAL: BEGUN,
    JournalOperation.SET_TRIAL_SYSTEM_ATTR: BEGUN,
    JournalOperation.SET_STUDY_SYSTEM_ATTR: BEGUN,
    JournalOperation.SET_TRIAL_PARAM: DECIDED,
    JournalOperation.SET_TRIAL_STATE_VALUES: CLOSED,
}
ALL_CUTS = (BEGUN, DECIDED, JOB_GIVEN, RUNG_PASSED, OUTCOME_WRITTEN, CLOSED)

SEARCHES = {"random": (12, 0), "tpe": (16, 11), "nsga2": (27, 21), "front": (16, 9)}
"""For each sampler the budget, and the first trial after which the journal is cut: past its random start."""

LIMITS = (Limit(PARAMS, 9000),)
CONFIRM = 0.3


def cut_of(log: Log) -> str:
    """What a line of the journal says has just happened."""
    operation = JournalOperation(log["op_code"])
    if operation is JournalOperation.SET_TRIAL_USER_ATTR:
        return {JOB: JOB_GIVEN, PASSED: RUNG_PASSED, OUTCOME: OUTCOME_WRITTEN}[next(iter(log["user_attr"]))]
    return CUTS[operation]


def fail_some(design: Design, epoch: int) -> None:
    """Part of the designs fail in their second epoch."""
    if design.attention == "se" and design["depth"] == 2 and epoch == 2:
        raise FloatingPointError("loss is nan")


def given_out(ledger: Ledger) -> list[Trial]:
    """The trials that were trained, to whatever end."""
    return [trial for trial in ledger.trials if trial.state not in (State.DUPLICATE, State.INFEASIBLE)]


@pytest.fixture(scope="module")
def journals(
    make_ledger: Callable[..., Ledger],
    make_study: Callable[..., optuna.Study],
    make_curves: Callable[..., Evaluate],
    make_halving: Callable[..., GoesOn],
    journal_of: Callable[[optuna.Study], list[Log]],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, list[Log]]:
    """The journals of uninterrupted searches, by sampler."""
    written = {}
    for sampler, (budget, _) in SEARCHES.items():
        study = make_study()
        ledger = make_ledger(
            study, budget=budget, sampler=sampler, limits=LIMITS, goes_on=make_halving(), confirm=CONFIRM
        )
        LocalEngine().run(
            ledger,
            make_curves(at_step=fail_some),
            Checkpoints(tmp_path_factory.mktemp(sampler), "study"),
            lambda: False,
        )
        rejected = set() if sampler == "front" else {State.DUPLICATE, State.INFEASIBLE}
        trained = {State.COMPLETE, State.STOPPED, State.FAILED}
        assert {trial.state for trial in ledger.trials} == trained | rejected, "the search is too tame"
        assert any(trial.job.replicate for trial in ledger.trials), "the search is too tame"
        written[sampler] = journal_of(study)
    return written


@pytest.mark.parametrize("cut", ALL_CUTS)
@pytest.mark.parametrize("sampler", SEARCHES)
def test_a_search_killed_after_any_write_ends_as_if_it_had_not_been(
    sampler: str,
    cut: str,
    journals: dict[str, list[Log]],
    make_ledger: Callable[..., Ledger],
    make_study: Callable[..., optuna.Study],
    make_curves: Callable[..., Evaluate],
    make_halving: Callable[..., GoesOn],
    story: Callable[[list[Trial]], list[object]],
    run: Callable[..., Ledger],
) -> None:
    journal = journals[sampler]
    budget, first = SEARCHES[sampler]
    kwargs: dict[str, Any] = {"budget": budget, "sampler": sampler, "limits": LIMITS, "goes_on": make_halving()}
    kwargs["confirm"] = CONFIRM
    expected = story(given_out(make_ledger(make_study(journal), **kwargs)))
    broken = {}
    tried = 0
    for lines in range(2, len(journal)):
        started = sum(log["op_code"] == JournalOperation.CREATE_TRIAL for log in journal[:lines])
        if started <= first or cut_of(journal[lines - 1]) != cut:
            continue
        tried += 1
        resumed = run(make_ledger(make_study(journal[:lines]), **kwargs), make_curves(at_step=fail_some))
        if (got := story(given_out(resumed))) != expected:
            wrong = next(n for n, (a, b) in enumerate(zip([*got, None], [*expected, None], strict=False)) if a != b)
            broken[lines] = f"trial {wrong}: {[*got, None][wrong]} instead of {[*expected, None][wrong]}"
    assert tried
    assert not broken, f"of {tried} cuts {len(broken)} broke the search, such as {next(iter(broken.items()))}"


@pytest.mark.parametrize("sampler", SEARCHES)
def test_a_session_that_tries_lost_designs_again_killed_after_any_write_ends_as_if_it_had_not_been(
    sampler: str,
    make_ledger: Callable[..., Ledger],
    make_study: Callable[..., optuna.Study],
    make_curves: Callable[..., Evaluate],
    journal_of: Callable[[optuna.Study], list[Log]],
    story: Callable[[list[Trial]], list[object]],
    run: Callable[..., Ledger],
) -> None:
    def lose_some(design: Design, epoch: int) -> None:
        if design.attention in ("none", "ras"):
            raise OSError("the network file system is away")

    study = make_study()
    kwargs: dict[str, Any] = {"sampler": sampler, "limits": LIMITS}
    first = run(make_ledger(study, budget=5, **kwargs), make_curves(at_step=lose_some))
    assert sum(trial.state is State.FAILED for trial in first.trials) >= 2
    begun = len(journal_of(study))
    expected = story(given_out(run(make_ledger(study, budget=10, **kwargs))))
    journal = journal_of(study)
    for lines in range(begun, len(journal)):
        resumed = run(make_ledger(make_study(journal[:lines]), budget=10, **kwargs))
        assert story(given_out(resumed)) == expected, f"killed after {journal[lines - 1]}"


@pytest.fixture
def interrupted(make_study: Callable[..., optuna.Study], make_ledger: Callable[..., Ledger]) -> optuna.Study:
    """A study with trials 0 and 2 complete, and 1 and 3 left running."""
    study = make_study()
    ledger = make_ledger(study)
    for _ in range(4):
        ledger.ask()
    for number in (0, 2):
        ledger.report(number, {"epoch": 1.0, "val_accuracy": 0.5})
        ledger.tell_complete(number)
    return study


def test_trials_left_running_are_given_out_first_under_their_own_number_seed_and_design(
    interrupted: optuna.Study, make_ledger: Callable[..., Ledger]
) -> None:
    left = {frozen.number: frozen.user_attrs[JOB] for frozen in interrupted.get_trials() if frozen.number in (1, 3)}
    ledger = make_ledger(interrupted)
    given = [trial for _ in left if (trial := ledger.ask()) is not None]
    assert {trial.number: trial.job.to_json() for trial in given} == left
    new = ledger.ask()
    assert new is not None
    assert new.number > 3


def test_a_resumed_search_leaves_nothing_running_and_trains_the_budget(
    interrupted: optuna.Study, make_ledger: Callable[..., Ledger], run: Callable[..., Ledger]
) -> None:
    ledger = run(make_ledger(interrupted, budget=6))
    assert (ledger.trained, ledger.running) == (6, [])
    assert all(frozen.state.is_finished() for frozen in interrupted.get_trials())
    candidates = [trial.job.candidate for trial in ledger.trials if trial.trained]
    assert len(set(candidates)) == 6


def test_a_trial_left_without_a_job_gets_one_under_its_own_number_and_seed(
    interrupted: optuna.Study, make_ledger: Callable[..., Ledger], run: Callable[..., Ledger]
) -> None:
    interrupted.ask()
    ledger = run(make_ledger(interrupted))
    assert [trial.number for trial in ledger.trials][:6] == [0, 1, 2, 3, 4, 5]
    assert ledger.trials[4].job.seed == mix_seed(0, 0)


def test_an_orphan_counts_for_the_budget_while_it_is_open(
    interrupted: optuna.Study, make_ledger: Callable[..., Ledger]
) -> None:
    ledger = make_ledger(interrupted, budget=5)
    assert ledger.unfinished
    assert sum(ledger.ask() is not None for _ in range(10)) == 3


def test_resuming_does_not_rename_an_infeasible_design_a_duplicate(
    make_ledger: Callable[..., Ledger], make_study: Callable[..., optuna.Study], run: Callable[..., Ledger]
) -> None:
    """A design beyond the limits is one in every session, however often it is proposed."""
    study = make_study()
    tight = (Limit(PARAMS, 4000),)
    for budget in range(2, 9):
        ledger = run(make_ledger(study, budget=budget, limits=tight))
    beyond = [trial for trial in ledger.trials if not within(trial.job.costs, tight)]
    assert {trial.state for trial in beyond} == {State.INFEASIBLE}


@pytest.mark.parametrize("state", [State.DUPLICATE, State.INFEASIBLE])
def test_a_rejected_trial_killed_before_it_was_closed_is_not_trained(
    state: State,
    journals: dict[str, list[Log]],
    make_ledger: Callable[..., Ledger],
    make_study: Callable[..., optuna.Study],
    run: Callable[..., Ledger],
) -> None:
    journal = journals["random"]
    whole = make_ledger(make_study(journal), budget=12, limits=LIMITS, confirm=CONFIRM)
    rejected = next(trial for trial in whole.trials if trial.state is state)
    cut = 1 + next(
        line for line, log in enumerate(journal) if log.get("trial_id") == rejected.number and "user_attr" in log
    )
    resumed = run(make_ledger(make_study(journal[:cut]), budget=12, limits=LIMITS, confirm=CONFIRM))
    assert rejected.number not in [trial.number for trial in given_out(resumed)]
    candidates = [(trial.job.candidate, trial.job.replicate) for trial in given_out(resumed)]
    assert len(candidates) == len(set(candidates))
    assert all(within(trial.job.costs, LIMITS) for trial in given_out(resumed))


def test_a_replacement_that_an_earlier_version_has_queued_comes_next(
    journals: dict[str, list[Log]],
    make_ledger: Callable[..., Ledger],
    make_study: Callable[..., optuna.Study],
    make_curves: Callable[..., Evaluate],
    make_halving: Callable[..., GoesOn],
    run: Callable[..., Ledger],
    story: Callable[[list[Trial]], list[object]],
) -> None:
    journal = journals["random"]
    kwargs: dict[str, Any] = {"budget": 12, "limits": LIMITS, "confirm": CONFIRM, "goes_on": make_halving()}
    whole = make_ledger(make_study(journal), **kwargs).trials
    rejected = next(trial.number for trial in whole if trial.state is State.DUPLICATE)
    cut = 1 + max(line for line, log in enumerate(journal) if log.get("trial_id") == rejected)
    study = make_study(journal[:cut])
    study.enqueue_trial(study.trials[rejected].user_attrs[OUTCOME]["instead"])
    resumed = run(make_ledger(study, **kwargs), make_curves(at_step=fail_some))
    assert story(resumed.trials) == story(whole)


@pytest.mark.parametrize("meanwhile", ["a launch without room", "a trial carried over"])
def test_what_is_to_be_tried_instead_is_tried_whatever_comes_between(
    meanwhile: str,
    journals: dict[str, list[Log]],
    make_ledger: Callable[..., Ledger],
    make_study: Callable[..., optuna.Study],
    run: Callable[..., Ledger],
) -> None:
    journal, kwargs = journals["random"], {"limits": LIMITS, "confirm": CONFIRM}
    whole = make_ledger(make_study(journal), budget=12, **kwargs).trials
    rejected = next(trial.number for trial in whole if trial.state is State.DUPLICATE)
    replacement = next(trial for trial in whole if trial.number == rejected + 1)
    begun = next(line for line, log in enumerate(journal) if log.get("trial_id") == replacement.number)
    if meanwhile == "a launch without room":
        study = make_study(journal[:begun])
        assert run(make_ledger(study, budget=1, **kwargs)).trials[-1].number == rejected
    else:
        study = make_study(journal[: begun - 1])
        carried = next(trial for trial in study.trials if trial.state is optuna.trial.TrialState.COMPLETE)
        carried.set_user_attr(OUTCOME, carried.user_attrs[OUTCOME] | {ORIGIN: "another"})
        study.add_trial(carried)
    resumed = run(make_ledger(study, budget=12, **kwargs)).trials
    assert replacement.job in [trial.job for trial in resumed if trial.number == rejected + 2]


def test_a_trial_stopped_at_a_rung_and_killed_before_it_was_told_is_still_stopped(
    make_ledger: Callable[..., Ledger],
    make_study: Callable[..., optuna.Study],
    journal_of: Callable[[optuna.Study], list[Log]],
    run: Callable[..., Ledger],
) -> None:
    def goes_on(trial: Trial, trials: Sequence[Trial]) -> bool:
        return trial.last["epoch"] != 2

    study = make_study()
    run(make_ledger(study, budget=1, goes_on=goes_on))
    journal = journal_of(study)
    assert cut_of(journal[-2]) == OUTCOME_WRITTEN
    resumed = run(make_ledger(make_study(journal[:-1]), budget=1, goes_on=goes_on))
    assert [trial.state for trial in resumed.trials] == [State.STOPPED]


def test_others_are_judged_against_what_a_trial_had_come_to_when_its_session_was_killed(
    make_ledger: Callable[..., Ledger],
    make_study: Callable[..., optuna.Study],
    journal_of: Callable[[optuna.Study], list[Log]],
) -> None:
    """And a rung that it has passed is not judged again."""

    def best_so_far(trial: Trial, trials: Sequence[Trial]) -> bool:
        return trial.last["val_accuracy"] == max(it.last["val_accuracy"] for it in trials if it.history)

    def report(ledger: Ledger, number: int, val_accuracy: float) -> bool:
        return ledger.report(number, {"epoch": 1.0, "val_accuracy": val_accuracy})

    study = make_study()
    ledger = make_ledger(study, goes_on=best_so_far)
    numbers = [trial.number for _ in range(3) if (trial := ledger.ask()) is not None]
    assert report(ledger, numbers[0], 0.5)
    again = make_ledger(make_study(journal_of(study)), goes_on=best_so_far)
    assert [trial.number for trial in again.running] == numbers
    assert not report(again, numbers[1], 0.4)
    assert report(again, numbers[2], 0.6)
    assert report(again, numbers[0], 0.0)


SEARCH = """
import os, runpy, sys
from pathlib import Path
from search.checkpoints import Checkpoints
from search.ledger import Ledger
from search.local_engine import LocalEngine
from search.proposers import Sampled
from search.storage import Storage
from space.space_files import load_space
from space.cost import Limit
from space.design import Stage

conftest, where, sampler, die_in = sys.argv[1:]
tables = runpy.run_path(conftest)
OBJECTIVES, PARAMS = tables["OBJECTIVES"], tables["OBJECTIVES"].costs[0]
epochs = 0

def at_step(design, epoch):
    global epochs
    epochs += 1
    if epochs == int(die_in):
        os._exit(9)

space = load_space("small", {"tiny": (Stage(1, 16), Stage(2, 32), Stage(2, 64))})
fractions = {candidate: tables["fraction"](str(candidate)) for candidate in space.enumerate()}
costs = {c: {"num_params": 1000 + int(9000 * f), "macs": 1, "fps": 1000 + f} for c, f in fractions.items()}
storage = Storage(where)
with storage.writing("study", OBJECTIVES.directions, {}) as study:
    ledger = Ledger(study, Sampled(space, costs, (Limit(PARAMS, 6000),), sampler, 0, OBJECTIVES), budget=14)
    checkpoints = Checkpoints(storage.folder("study"), "study")
    LocalEngine().run(ledger, tables["Curves"](3, at_step), checkpoints, lambda: False)
"""


@pytest.mark.long
def test_a_process_killed_and_another_that_goes_on_search_the_same_as_one(
    tmp_path: Path, story: Callable[[list[Trial]], list[object]]
) -> None:
    """Each process hashes text in its own way: no order of a set may decide anything."""

    def search(where: str, hash_seed: int, die_in: int) -> int:
        conftest = str(Path(__file__).with_name("conftest.py"))
        command = [sys.executable, "-c", SEARCH, conftest, str(tmp_path / where), "tpe", str(die_in)]
        return subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": str(hash_seed)}, check=False).returncode

    codes = [search("whole", 1, 0), search("killed", 2, 35), search("killed", 3, 0)]
    assert codes == [0, 9, 0]
    whole, killed = (story(Storage(str(tmp_path / where)).read("study").trials) for where in ("whole", "killed"))
    assert killed == whole
