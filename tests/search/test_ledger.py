"""What a ledger gives out, counts and records, whatever the sampler."""

import math
from collections import Counter
from collections.abc import Callable, Sequence

import optuna
import pytest
from optuna.trial import TrialState

from search.execution import Evaluate
from search.ledger import Ledger
from search.proposers import Sampled
from search.samplers import SAMPLERS
from search.trials import Failure, FailureKind, State, Trial, read_trial
from space.choices import Candidate, SearchSpace
from space.cost import Costs, Limit
from space.design import Design
from tests.objectives import FPS, OBJECTIVES, PARAMS

every_sampler = pytest.mark.parametrize("sampler", SAMPLERS)
every_heedless_sampler = pytest.mark.parametrize("sampler", [name for name in SAMPLERS if name != "front"])
"""That propose what has been tried, or is beyond the limits."""

NAN = Failure(kind=FailureKind.NAN, reason="loss is nan")


def finish(ledger: Ledger, trial: Trial, val_accuracy: float = 0.5) -> None:
    """Train a trial for one epoch and tell it complete."""
    ledger.report(trial.number, {"epoch": 1.0, "seconds": 0.1, "val_accuracy": val_accuracy})
    ledger.tell_complete(trial.number)


def ask(ledger: Ledger) -> Trial:
    """The next trial, which must be there."""
    trial = ledger.ask()
    assert trial is not None
    return trial


def given_out(ledger: Ledger) -> list[Candidate]:
    """What was trained, whether it failed or not."""
    return [t.job.candidate for t in ledger.trials if t.state not in (State.DUPLICATE, State.INFEASIBLE)]


@every_sampler
def test_trial_0_is_the_plain_backbone(
    sampler: str, make_ledger: Callable[..., Ledger], make_study: Callable[..., optuna.Study], space: SearchSpace
) -> None:
    trial = ask(make_ledger(make_study(), sampler=sampler))
    assert (trial.number, trial.job.candidate) == (0, space.plain())


@every_sampler
def test_a_budget_larger_than_the_space_trains_every_design_once_and_says_so(
    sampler: str,
    make_ledger: Callable[..., Ledger],
    make_study: Callable[..., optuna.Study],
    small_space: SearchSpace,
    run: Callable[..., Ledger],
) -> None:
    ledger = run(make_ledger(make_study(), budget=1000, sampler=sampler, space=small_space))
    assert Counter(given_out(ledger)) == Counter(small_space.enumerate())
    assert ledger.exhausted
    assert not ledger.unfinished
    assert ledger.ask() is None


@every_heedless_sampler
def test_a_duplicate_costs_no_budget(
    sampler: str,
    make_ledger: Callable[..., Ledger],
    make_study: Callable[..., optuna.Study],
    small_space: SearchSpace,
    run: Callable[..., Ledger],
) -> None:
    designs = len(list(small_space.enumerate()))
    ledger = run(make_ledger(make_study(), budget=designs - 1, sampler=sampler, space=small_space))
    states = Counter(trial.state for trial in ledger.trials)
    assert states[State.DUPLICATE] > 0, "the space is too large for this test"
    assert states[State.COMPLETE] == ledger.trained == designs - 1
    assert len(set(given_out(ledger))) == designs - 1


@every_heedless_sampler
def test_a_limit_is_never_broken_and_an_infeasible_design_costs_no_budget(
    sampler: str,
    make_ledger: Callable[..., Ledger],
    make_study: Callable[..., optuna.Study],
    make_costs: Callable[[SearchSpace], dict[Candidate, Costs]],
    space: SearchSpace,
    run: Callable[..., Ledger],
) -> None:
    limits = (
        Limit(PARAMS, 7000),
        Limit(FPS, 2900.0),
    )
    allowed = {c for c, cost in make_costs(space).items() if cost["num_params"] <= 7000 and cost["fps"] >= 2900.0}
    ledger = run(make_ledger(make_study(), budget=12, sampler=sampler, limits=limits))
    states = Counter(trial.state for trial in ledger.trials)
    assert states[State.INFEASIBLE] > 0, "the limits are too wide for this test"
    assert states[State.COMPLETE] == 12
    assert set(given_out(ledger)) <= allowed


def test_a_limit_holds_for_the_plain_backbone_too(
    make_study: Callable[..., optuna.Study], small_space: SearchSpace, run: Callable[..., Ledger]
) -> None:
    """With several backbones the first one may be beyond a limit that another meets."""
    sizes = {"tiny": 2000, "wide": 1000}
    costs = {c: {"num_params": sizes[c[0]], "macs": 1, "fps": 100.0} for c in small_space.enumerate()}
    proposer = Sampled(small_space, costs, (Limit(PARAMS, 1000),), "random", 0, OBJECTIVES)
    ledger = run(Ledger(make_study(), proposer, budget=3))
    assert [trial.job.backbone for trial in ledger.trials if trial.trained] == ["wide"] * 3


def test_a_space_without_the_plain_design_is_searched(
    make_ledger: Callable[..., Ledger],
    make_study: Callable[..., optuna.Study],
    small_space: SearchSpace,
    run: Callable[..., Ledger],
) -> None:
    gated = SearchSpace(small_space.backbones, {"se": {"reduction": (4, 8)}, "eca": {}})
    ledger = run(make_ledger(make_study(), budget=3, space=gated))
    assert ledger.trained == 3


@every_sampler
def test_a_failed_design_costs_no_budget_and_is_not_tried_again(
    sampler: str,
    make_ledger: Callable[..., Ledger],
    make_study: Callable[..., optuna.Study],
    make_curves: Callable[..., Evaluate],
    small_space: SearchSpace,
    run: Callable[..., Ledger],
) -> None:
    def at_step(design: Design, epoch: int) -> None:
        if design.attention == "eca":
            raise FloatingPointError("loss is nan")

    evaluate = make_curves(at_step=at_step)
    ledger = run(make_ledger(make_study(), budget=1000, sampler=sampler, space=small_space), evaluate)
    tried = Counter(t.job.candidate for t in ledger.trials if t.state is State.FAILED)
    assert tried == {candidate: 1 for candidate in small_space.enumerate() if candidate[1].attention == "eca"}
    assert ledger.trained == len(list(small_space.enumerate())) - len(tried)


def test_several_open_trials_and_the_trained_ones_never_exceed_the_budget(
    make_ledger: Callable[..., Ledger], make_study: Callable[..., optuna.Study]
) -> None:
    ledger = make_ledger(make_study(), budget=5)
    first = [ask(ledger) for _ in range(3)]
    finish(ledger, first[1])
    more = [ask(ledger) for _ in range(2)]
    assert ledger.ask() is None
    assert len({trial.job.candidate for trial in first + more}) == 5
    for trial in [first[0], first[2], *more]:
        assert ledger.unfinished
        finish(ledger, trial)
        assert ledger.ask() is None
    assert (ledger.trained, ledger.running, ledger.unfinished) == (5, [], False)


def test_after_a_failure_ask_gives_exactly_one_more(
    make_ledger: Callable[..., Ledger], make_study: Callable[..., optuna.Study]
) -> None:
    ledger = make_ledger(make_study(), budget=3)
    trials = [ask(ledger) for _ in range(3)]
    assert ledger.ask() is None
    ledger.tell_failed(trials[1].number, NAN)
    another = ask(ledger)
    assert another.job.candidate not in [trial.job.candidate for trial in trials]
    assert ledger.ask() is None


def test_a_stopped_trial_counts_for_the_budget(
    make_ledger: Callable[..., Ledger], make_study: Callable[..., optuna.Study]
) -> None:
    ledger = make_ledger(make_study(), budget=1)
    ledger.tell_stopped(ask(ledger).number)
    assert (ledger.trained, ledger.unfinished, ledger.ask()) == (1, False, None)


def test_a_stopped_or_failed_trial_has_no_values_and_is_not_complete_to_optuna(
    make_ledger: Callable[..., Ledger], make_study: Callable[..., optuna.Study]
) -> None:
    study = make_study()
    ledger = make_ledger(study)
    for tell in (ledger.tell_stopped, lambda number: ledger.tell_failed(number, NAN)):
        trial = ask(ledger)
        ledger.report(trial.number, {"epoch": 1.0, "val_accuracy": 0.9})
        tell(trial.number)
    stopped, failed = study.get_trials()
    assert (stopped.state, failed.state) == (TrialState.PRUNED, TrialState.FAIL)
    assert stopped.values is None
    assert failed.values is None
    assert study.best_trials == []


def test_a_complete_trial_has_its_last_accuracy_and_its_costs_as_values(
    make_ledger: Callable[..., Ledger], make_study: Callable[..., optuna.Study]
) -> None:
    study = make_study()
    ledger = make_ledger(study)
    trial = ask(ledger)
    for epoch, val_accuracy in ((1.0, 0.9), (2.0, 0.3)):
        ledger.report(trial.number, {"epoch": epoch, "val_accuracy": val_accuracy})
    ledger.tell_complete(trial.number)
    assert study.get_trials()[0].values == [0.3, trial.job.costs["num_params"], trial.job.costs["fps"]]


@pytest.mark.parametrize("report", [{"epoch": 1.0, "val_accuracy": math.nan}, {"epoch": 1.0}], ids=["nan", "missing"])
def test_a_trial_without_a_number_as_accuracy_fails_alone(
    report: dict[str, float], make_ledger: Callable[..., Ledger], make_study: Callable[..., optuna.Study]
) -> None:
    ledger = make_ledger(make_study(), budget=1)
    trial = ask(ledger)
    ledger.report(trial.number, report)
    ledger.tell_complete(trial.number)
    assert [trial.state for trial in ledger.trials] == [State.FAILED]
    finish(ledger, ask(ledger))
    assert ledger.trained == 1


def test_goes_on_sees_the_history_and_its_answer_is_handed_on(
    make_ledger: Callable[..., Ledger], make_study: Callable[..., optuna.Study]
) -> None:
    seen: list[list[float]] = []

    def goes_on(trial: Trial, trials: Sequence[Trial]) -> bool:
        assert trial in trials
        seen.append([report["epoch"] for report in trial.history])
        return len(trial.history) < 2

    ledger = make_ledger(make_study(), goes_on=goes_on)
    number = ask(ledger).number
    assert ledger.report(number, {"epoch": 1.0, "val_accuracy": 0.1})
    assert not ledger.report(number, {"epoch": 2.0, "val_accuracy": 0.2})
    assert seen == [[1.0], [1.0, 2.0]]


def test_what_passes_a_rung_is_written_down_with_its_history_and_nothing_else_is(
    make_ledger: Callable[..., Ledger], make_study: Callable[..., optuna.Study]
) -> None:
    study = make_study()
    ledger = make_ledger(study, goes_on=lambda trial, trials: True if trial.last["epoch"] == 2 else None)
    number = ask(ledger).number
    written = []
    for epoch in (1.0, 2.0, 3.0):
        ledger.report(number, {"epoch": epoch, "val_accuracy": 0.1})
        trial = read_trial(study.get_trials()[number])
        assert trial is not None
        written.append([report["epoch"] for report in trial.history])
    assert written == [[], [1.0, 2.0], [1.0, 2.0]]


def test_an_epoch_reported_again_changes_nothing(
    make_ledger: Callable[..., Ledger],
    make_study: Callable[..., optuna.Study],
    watch: Callable[[Ledger], list[tuple[str, Trial]]],
) -> None:
    ledger = make_ledger(make_study())
    number = ask(ledger).number
    events = watch(ledger)
    for _ in range(2):
        ledger.report(number, {"epoch": 1.0, "val_accuracy": 0.1})
    assert [event for event, _ in events] == ["reported"]
    assert len(ledger.trials[0].history) == 1


def test_observers_are_told_after_the_study_was_written(
    make_ledger: Callable[..., Ledger], make_study: Callable[..., optuna.Study]
) -> None:
    study = make_study()
    ledger = make_ledger(study, budget=3)
    written: list[tuple[str, TrialState, bool]] = []

    class Reader:
        def started(self, trial: Trial) -> None:
            self._note("started", trial)

        def reported(self, trial: Trial) -> None:
            assert ledger.trials[trial.number] == trial

        def finished(self, trial: Trial) -> None:
            self._note("finished", trial)
            assert ledger.trials[trial.number] == trial

        def _note(self, event: str, trial: Trial) -> None:
            frozen = study.get_trials()[trial.number]
            written.append((event, frozen.state, "job" in frozen.user_attrs))

    ledger.observe(Reader())
    finish(ledger, ask(ledger))
    ledger.tell_stopped(ask(ledger).number)
    ledger.tell_failed(ask(ledger).number, NAN)
    started = ("started", TrialState.RUNNING, True)
    ends = [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL]
    assert written == [event for end in ends for event in (started, ("finished", end, True))]


def test_observers_hear_nothing_of_duplicates(
    make_ledger: Callable[..., Ledger],
    make_study: Callable[..., optuna.Study],
    small_space: SearchSpace,
    watch: Callable[[Ledger], list[tuple[str, Trial]]],
    run: Callable[..., Ledger],
) -> None:
    ledger = make_ledger(make_study(), budget=1000, space=small_space)
    events = watch(ledger)
    run(ledger)
    assert {trial.state for event, trial in events if event == "started"} == {State.RUNNING}
    assert {trial.state for event, trial in events if event == "finished"} == {State.COMPLETE}


def test_a_ledger_read_again_knows_the_same_trials(
    make_ledger: Callable[..., Ledger],
    make_study: Callable[..., optuna.Study],
    make_curves: Callable[..., Evaluate],
    journal_of: Callable[[optuna.Study], list[dict[str, object]]],
    story: Callable[[list[Trial]], list[object]],
    run: Callable[..., Ledger],
) -> None:
    def at_step(design: Design, epoch: int) -> None:
        if design.attention == "ras" and epoch == 2:
            raise ValueError("two lines\nof reason")

    study = make_study()
    before = run(make_ledger(study, budget=10, limits=(Limit(PARAMS, 8000),)), make_curves(at_step=at_step))
    after = make_ledger(make_study(journal_of(study)), budget=10)
    assert story(after.trials) == story(before.trials)
    assert [trial.failure for trial in after.trials] == [trial.failure for trial in before.trials]
    assert {trial.state for trial in after.trials} >= {State.COMPLETE, State.FAILED, State.INFEASIBLE}


@every_sampler
def test_a_larger_budget_extends_the_search_as_if_it_had_been_larger_from_the_start(
    sampler: str,
    make_ledger: Callable[..., Ledger],
    make_study: Callable[..., optuna.Study],
    story: Callable[[list[Trial]], list[object]],
    run: Callable[..., Ledger],
) -> None:
    study = make_study()
    run(make_ledger(study, budget=4, sampler=sampler))
    extended = run(make_ledger(study, budget=14, sampler=sampler))
    at_once = run(make_ledger(make_study(), budget=14, sampler=sampler))
    assert extended.trained == 14
    assert story(extended.trials) == story(at_once.trials)


@every_sampler
def test_the_same_seed_searches_the_same_and_another_seed_otherwise(
    sampler: str,
    make_ledger: Callable[..., Ledger],
    make_study: Callable[..., optuna.Study],
    story: Callable[[list[Trial]], list[object]],
    run: Callable[..., Ledger],
) -> None:
    one, same, other = (
        story(run(make_ledger(make_study(), budget=12, sampler=sampler, seed=seed)).trials) for seed in (5, 5, 6)
    )
    assert one == same
    assert one != other


def test_annotate_stores_with_the_study(
    make_ledger: Callable[..., Ledger], make_study: Callable[..., optuna.Study]
) -> None:
    study = make_study()
    make_ledger(study).annotate("run/3", {"id": "abc"})
    assert study.user_attrs["run/3"] == {"id": "abc"}


def test_a_study_that_somebody_else_writes_too_is_not_gone_on_with(
    make_study: Callable[..., optuna.Study], make_ledger: Callable[..., Ledger]
) -> None:
    study = make_study()
    ledger = make_ledger(study, budget=30, sampler="random")
    assert ledger.ask() is not None
    study._storage.create_new_trial(study._study_id)
    with pytest.raises(AssertionError, match="another process"):
        ledger.ask()
