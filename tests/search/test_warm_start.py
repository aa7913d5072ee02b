"""A search that begins with what somebody knows: designs that come first, trainings of another search."""

from collections.abc import Callable
from typing import Any, TypeAlias

import optuna
import pytest

from search.carrying_over import carry_over
from search.ledger import Ledger
from search.samplers import DECIDING_STEP_BY_STEP, SAMPLERS
from search.trials import State, Trial
from space.choices import Candidate, SearchSpace
from space.cost import Costs, Limit
from space.design import Design
from tests.objectives import OBJECTIVES, PARAMS

Make: TypeAlias = Callable[..., Ledger]
Study: TypeAlias = Callable[..., optuna.Study]
Run: TypeAlias = Callable[..., Ledger]
MakeCosts: TypeAlias = Callable[[SearchSpace], dict[Candidate, Costs]]

FIRST = [("tiny", Design.parse(text)) for text in ("ras:depth=3", "eca", "se:reduction=8,stages=2")]

every_sampler = pytest.mark.parametrize("sampler", SAMPLERS)


@every_sampler
def test_designs_that_are_enqueued_come_after_plain_each_once_and_in_their_order(
    sampler: str, space: SearchSpace, make_ledger: Make, make_study: Study, run: Run
) -> None:
    first = [("tiny", design.canonical(space.backbones["tiny"])) for _, design in FIRST]
    ledger = run(make_ledger(make_study(), budget=8, sampler=sampler, first=[*first, first[0]]))
    trained = [trial.job.candidate for trial in ledger.trials if trial.trained]
    assert trained[:4] == [space.plain(), *first]
    assert len(set(trained)) == 8


def test_the_next_session_trains_what_of_them_is_left_and_none_again(
    space: SearchSpace, make_ledger: Make, make_study: Study, run: Run
) -> None:
    first = [("tiny", design.canonical(space.backbones["tiny"])) for _, design in FIRST]
    study = make_study()
    run(make_ledger(study, budget=2, first=first))
    ledger = run(make_ledger(study, budget=6, first=first))
    trained = [trial.job.candidate for trial in ledger.trials if trial.trained]
    assert trained[:4] == [space.plain(), *first]
    assert len(set(trained)) == 6


def test_what_is_beyond_the_limits_is_not_trained_though_it_is_enqueued(
    space: SearchSpace, make_costs: MakeCosts, make_ledger: Make, make_study: Study, run: Run
) -> None:
    costs = make_costs(space)
    largest = max(costs, key=lambda candidate: costs[candidate]["num_params"])
    limits = (Limit(PARAMS, costs[largest]["num_params"] - 1),)
    ledger = run(make_ledger(make_study(), budget=4, limits=limits, first=[largest]))
    assert largest not in [trial.job.candidate for trial in ledger.trials if trial.trained]


def known(trials: list[Trial]) -> list[Any]:
    """What trials of two studies have in common that are the same."""
    return sorted((str(t.job.design), t.job.replicate, t.job.seed, t.history) for t in trials if t.trained)


@every_sampler
def test_the_trainings_of_another_study_count_and_are_not_trained_again(
    sampler: str, space: SearchSpace, make_costs: MakeCosts, make_ledger: Make, make_study: Study, run: Run
) -> None:
    source = run(make_ledger(make_study(name="before"), budget=10, confirm=0.3))
    study, costs = make_study(), make_costs(space)
    kwargs: dict[str, Any] = {"space": space, "costs": costs, "objectives": OBJECTIVES}
    fill = sampler not in DECIDING_STEP_BY_STEP
    assert carry_over(study, [], source.trials, "before", fill=fill, **kwargs) == len(known(source.trials))

    ledger = make_ledger(study, budget=14, sampler=sampler, confirm=0.3)
    assert ledger.trained == 10
    assert known(ledger.trials) == known(source.trials)
    assert {trial.origin for trial in ledger.trials} == {"before"}
    assert carry_over(study, ledger.trials, source.trials, "before", fill=fill, **kwargs) == 0

    run(ledger)
    keys = [(trial.job.candidate, trial.job.replicate) for trial in ledger.trials if trial.trained]
    assert len(keys) == len(set(keys))
    assert ledger.trained == 14
    assert len({trial.number for trial in ledger.trials if not trial.origin and trial.counts}) == 4


def test_only_what_may_be_trained_here_and_went_to_its_end_is_carried_over(
    space: SearchSpace, make_costs: MakeCosts, make_ledger: Make, make_study: Study, run: Run
) -> None:
    source = run(
        make_ledger(
            make_study(name="before"), budget=10, goes_on=lambda trial, trials: "se" not in str(trial.job.design)
        )
    )
    costs = {candidate: cost for candidate, cost in make_costs(space).items() if candidate[1].attention != "eca"}
    study = make_study()
    carry_over(study, [], source.trials, "before", space=space, costs=costs, objectives=OBJECTIVES)
    carried = {trial.job.candidate for trial in make_ledger(study).trials}
    complete = {trial.job.candidate for trial in source.trials if trial.state is State.COMPLETE}
    assert carried == complete & costs.keys() < complete
