"""What ends a search beside its budget: each bound is kept, and decided from the ledger alone."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import optuna
import pytest

from search.ending import Bound, Ending, FirstOf, Hours, MaxEpochs, Patience
from search.execution import Evaluate
from search.hypervolume import Bounds
from search.ledger import Ledger
from search.trials import Failure, FailureKind, State, Trial
from space.choices import SearchSpace
from space.design import Design
from tests.objectives import OBJECTIVES

Make: TypeAlias = Callable[..., Ledger]
Study: TypeAlias = Callable[..., optuna.Study]
Run: TypeAlias = Callable[..., Ledger]
MakeTrial: TypeAlias = Callable[..., Trial]

EACH = 3
"""Epochs of a training."""
BOUNDS = Bounds.of(OBJECTIVES, [{"num_params": 1000, "fps": 100.0}, {"num_params": 2000, "fps": 1000.0}])
OF_SPACE = Bounds.of(OBJECTIVES, [{"num_params": 1000, "fps": 5000.0}, {"num_params": 11_000, "fps": 2300.0}])


def epochs_of(ledger: Ledger) -> int:
    return sum(len(trial.history) for trial in ledger.trials)


def by(ending: Ending | None) -> str | None:
    return None if ending is None else ending.by


def stop_some(trial: Trial, trials: Sequence[Trial]) -> bool:
    """A rung after the second epoch, for all but the plain network."""
    return trial.last["epoch"] != 2 or trial.last["val_accuracy"] > 0.33 or trial.job.design == Design()


def fail_some(design: Design, epoch: int) -> None:
    if design.attention == "se" and design["depth"] == 2 and epoch == 2:
        raise FloatingPointError("loss is nan")


@pytest.mark.parametrize("most", [3, 31, 60])
def test_no_training_is_begun_that_could_exceed_the_epochs_and_none_is_left_out_that_could_not(
    most: int, make_ledger: Make, make_study: Study, make_curves: Callable[..., Evaluate], run: Run
) -> None:
    bound = MaxEpochs(epochs=most, each=EACH)
    ledger = make_ledger(make_study(), budget=1000, confirm=0.3, goes_on=stop_some, bound=bound)
    run(ledger, make_curves(epochs=EACH, at_step=fail_some))
    assert most - EACH < epochs_of(ledger) <= most
    assert by(ledger.ending) == "max_epochs"
    assert not ledger.unfinished


def test_a_training_on_its_way_counts_as_if_it_were_at_its_end(make_ledger: Make, make_study: Study) -> None:
    ledger = make_ledger(make_study(), budget=1000, bound=MaxEpochs(epochs=7, each=EACH))
    first, second = ledger.ask(), ledger.ask()
    assert first is not None
    assert second is not None
    assert ledger.ask() is None
    ledger.report(first.number, {"epoch": 1.0, "val_accuracy": 0.5, "seconds": 1.0})
    assert ledger.ask() is None
    ledger.tell_failed(first.number, Failure(kind=FailureKind.NAN, reason="nan"))  # after 1 epoch of 3: 1 + 3 + 3 fit
    assert ledger.ask() is not None


def test_what_designs_leave_of_the_epochs_confirms_them(
    make_ledger: Make, make_study: Study, run: Run, small_space: SearchSpace
) -> None:
    def search(rest: bool, confirm: float) -> tuple[int, str | None]:
        bound = MaxEpochs(epochs=40 * EACH, each=EACH)
        made = make_ledger(make_study(), budget=1000, confirm=confirm, bound=bound, rest=rest, space=small_space)
        ledger = run(made)
        assert ledger.trained == 8
        return epochs_of(ledger), by(ledger.ending)

    assert search(rest=True, confirm=0.3) == (40 * EACH, "max_epochs")
    assert search(rest=False, confirm=0.3) == (11 * EACH, "space")
    assert search(rest=True, confirm=0.0) == (8 * EACH, "space")  # none is wanted


def test_hours_count_the_seconds_of_all_epochs_times_the_processors(make_trial: MakeTrial) -> None:
    def trial(number: int, seconds: float, state: State = State.COMPLETE) -> Trial:
        made = make_trial(number=number, state=state)
        report = {**made.history[0], "seconds": seconds / 2}
        object.__setattr__(made, "history", (report, report))
        return made

    trials = [trial(0, 30.0), trial(1, 10.0, State.FAILED), trial(2, 8.0, State.STOPPED)]  # 48 s, and 30 s a whole one
    for processors in (0.5, 1.0, 4.0):
        exact = (48.0 + 30.0) * processors / 3600
        assert Hours(hours=exact + 1e-9, processors=processors)(trials) is None
        assert by(Hours(hours=exact - 1e-9, processors=processors)(trials)) == "gpu_hours"
    running = trial(3, 2.0, State.RUNNING)  # counts as a whole one, however far it is
    assert Hours(hours=108.1 / 3600, processors=1)([*trials, running]) is None
    assert Hours(hours=107.9 / 3600, processors=1)([*trials, running]) is not None
    assert Hours(hours=1e-9, processors=1)([]) is None  # nothing is known of how long one takes


def scored(make_trial: MakeTrial, *scores: float) -> list[Trial]:
    """The plain network three times, and designs once, in smaller and slower networks one after the other."""
    plain = [make_trial(0.80, num_params=1000, design="none", number=number, replicate=number) for number in range(3)]
    designs = [f"se:depth={depth},reduction={r}" for depth in (1, 2, 3, 4) for r in (2, 4, 8, 32)]
    return plain + [
        make_trial(score, num_params=1100, design=designs[place], number=3 + place)
        for place, score in enumerate(scores)
    ]


def test_patience_ends_what_no_longer_gains_and_nothing_that_does(make_trial: MakeTrial) -> None:
    patience = Patience(designs=4, bounds=BOUNDS, images=1000)
    better = scored(make_trial, *(0.80, 0.81, 0.80, 0.81), *(0.95, 0.80, 0.81, 0.80))
    assert patience(better) is None
    stale = scored(make_trial, *(0.80, 0.95, 0.80, 0.81), *(0.81, 0.80, 0.79, 0.81))
    assert by(patience(stale)) == "patience"
    assert patience(stale[: 3 + 3]) is None  # with plain four designs: they are the last ones all
    assert patience(stale[3:]) is None  # without plain no gain is known
    noise = scored(make_trial, *(0.80, 0.815, 0.80, 0.81), *(0.805, 0.80, 0.816, 0.81))
    assert by(patience(noise)) == "patience"  # the best is among the last, by no more than luck


def test_the_first_bound_that_is_reached_ends_the_search(make_trial: MakeTrial) -> None:
    trials = [make_trial()]
    epochs, hours = MaxEpochs(epochs=1, each=1), Hours(hours=1.0, processors=1)
    assert by(FirstOf([hours, epochs])(trials)) == "max_epochs"
    assert FirstOf([hours])(trials) is None
    assert FirstOf()(trials) is None
    assert FirstOf([hours, MaxEpochs(epochs=10, each=3)]).room(trials, 1000.0) == 3
    assert FirstOf([hours, MaxEpochs(epochs=20, each=3)]).room(trials, 1000.0) == pytest.approx(3.6)


@pytest.mark.parametrize(
    "make_bound",
    [
        lambda: MaxEpochs(epochs=29, each=EACH),
        lambda: Hours(hours=30 * 0.001 / 3600, processors=1),
        lambda: Patience(designs=3, bounds=OF_SPACE, images=1000),
    ],
)
def test_an_interrupted_search_ends_where_it_would_have_ended(
    make_bound: Callable[[], Bound],
    make_ledger: Make,
    make_study: Study,
    journal_of: Callable[[optuna.Study], list[dict[str, Any]]],
    run: Run,
    story: Callable[[list[Trial]], list[object]],
) -> None:
    def ledger(study: optuna.Study) -> Ledger:
        return make_ledger(study, budget=30, confirm=0.3, goes_on=stop_some, bound=make_bound())

    def trained(ledger: Ledger) -> list[object]:
        # One that was being rejected may have its outcome without its job, and is no trial then.
        return story([trial for trial in ledger.trials if trial.trained])

    study = make_study()
    through = run(ledger(study))
    journal = journal_of(study)
    assert 3 < len(through.trials) < 40, "the search is too tame"
    for lines in range(2, len(journal), len(journal) // 6):
        resumed = run(ledger(make_study(journal[:lines])))
        assert trained(resumed) == trained(through)
        assert resumed.ending == through.ending
