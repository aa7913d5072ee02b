"""Samplers of the user's own, from a file or a package."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages.journal._storage import JournalOperation

from search.ledger import Ledger
from search.samplers import make_sampler
from search.trials import State, Trial
from space.choices import SearchSpace
from space.errors import UserError

SOURCE = """
import random
from optuna.samplers import BaseSampler, NSGAIIISampler, RandomSampler

class Breeding(NSGAIIISampler):
    def __init__(self, seed=None):
        super().__init__(seed=seed, population_size=4)

class LikeTheBest(RandomSampler):
    "Relative: three in four decisions of a trial on the front."
    def __init__(self, seed=None):
        super().__init__(seed)
        self.random = random.Random(seed)

    def infer_relative_search_space(self, study, trial):
        front = study.best_trials
        self.parent = self.random.choice(front) if front else trial
        return self.parent.distributions

    def sample_relative(self, study, trial, search_space):
        return {name: self.parent.params[name] for name in search_space if self.random.random() < 0.75}

class OneByOne(BaseSampler):
    "Independent alone, from the standard library's generator."
    def __init__(self, seed=None):
        self.random = random.Random(seed)

    def infer_relative_search_space(self, study, trial):
        return {}

    def sample_relative(self, study, trial, search_space):
        return {}

    def sample_independent(self, study, trial, param_name, param_distribution):
        return self.random.choice(param_distribution.choices)

class Raises(OneByOne):
    def sample_independent(self, study, trial, param_name, param_distribution):
        if trial.number < 2:
            return super().sample_independent(study, trial, param_name, param_distribution)
        raise KeyError("no idea")

class RaisesTogether(OneByOne):
    def sample_relative(self, study, trial, search_space):
        raise KeyError("no idea")

class Forgets(OneByOne):
    def sample_relative(self, study, trial, search_space):
        pass

class NoOption(OneByOne):
    def sample_independent(self, study, trial, param_name, param_distribution):
        return "no option"

class NoSeed(RandomSampler):
    def __init__(self):
        super().__init__()

class Breaks(RandomSampler):
    def __init__(self, seed):
        raise OSError("no such thing, and more\\nof it")

def no_sampler(seed):
    return seed
"""
BRED = {"nsga2": (22, 20), "mine.py:Breeding": (7, 4), "mine.py:LikeTheBest": (4, 2)}
"""For samplers that decide on several choices together a budget, and the trials that are needed first."""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file with samplers in the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(SOURCE)


@pytest.mark.usefixtures("mine")
@pytest.mark.parametrize(
    "name", ["optuna.samplers:NSGAIIISampler", "mine.py:Breeding", "mine.py:LikeTheBest", "mine.py:OneByOne"]
)
def test_a_whole_search_by_a_users_sampler_trains_each_design_once_and_the_same_ones_again(
    name: str,
    make_ledger: Callable[..., Ledger],
    make_study: Callable[..., optuna.Study],
    run: Callable[..., Ledger],
    space: SearchSpace,
    story: Callable[[list[Trial]], list[object]],
) -> None:
    searches = [run(make_ledger(make_study(), budget=20, sampler=name, seed=seed)) for seed in (1, 1, 2)]
    for ledger in searches:
        trained = [trial.job.candidate for trial in ledger.trials if trial.state is State.COMPLETE]
        assert len(trained) == len(set(trained)) == 20
        assert trained[0] == space.plain()
    assert story(searches[0].trials) == story(searches[1].trials) != story(searches[2].trials)


@pytest.mark.usefixtures("mine")
@pytest.mark.parametrize("name", BRED)
def test_a_search_cut_between_two_decisions_that_are_made_together_goes_on_with_the_same_ones(
    name: str,
    make_ledger: Callable[..., Ledger],
    make_study: Callable[..., optuna.Study],
    journal_of: Callable[[optuna.Study], list[dict[str, Any]]],
    run: Callable[..., Ledger],
    story: Callable[[list[Trial]], list[object]],
) -> None:
    budget, first = BRED[name]
    study, kwargs = make_study(), {"budget": budget, "sampler": name}
    uninterrupted = run(make_ledger(study, **kwargs))
    journal = journal_of(study)
    bred = [frozen.number for frozen in study.get_trials()[first:] if "fixed_params" not in frozen.system_attrs]
    decisions = [n for n, log in enumerate(journal) if log["op_code"] == JournalOperation.SET_TRIAL_PARAM]
    cuts = [n + 1 for n in decisions if journal[n]["trial_id"] in bred]
    for cut in cuts[::3]:
        assert story(run(make_ledger(make_study(journal[:cut]), **kwargs)).trials) == story(uninterrupted.trials)


@pytest.mark.usefixtures("mine")
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("mine.py:NoSeed", "--sampler mine.py:NoSeed: it cannot be made with seed=NUMBER"),
        ("mine.py:Breaks", "cannot be made with seed=NUMBER (no such thing, and more)"),
        ("mine.py:no_sampler", "int is no optuna.samplers.BaseSampler"),
        ("mine.py:Nobody", "has no 'Nobody'"),
        ("nowhere.py:Mine", "no such Python file"),
        ("nowhere:Mine", "no module 'nowhere'"),
        ("optuna.samplers:GridSampler", "cannot be made with seed=NUMBER"),
    ],
)
def test_a_class_that_makes_no_sampler_is_one_line(name: str, says: str) -> None:
    with pytest.raises(UserError) as raised:
        make_sampler(name, 0)
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.usefixtures("mine")
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("mine.py:Raises", "--sampler mine.py:Raises raises KeyError: 'no idea' (mine.py, line 41)"),
        ("mine.py:RaisesTogether", "raises KeyError: 'no idea' (mine.py, line 45)"),
        ("mine.py:Forgets", "raises TypeError: 'NoneType' object is not iterable"),
        ("mine.py:NoOption", "raises ValueError: 'no option' not in"),
        ("optuna.samplers:CmaEsSampler", "raises ValueError: If the study is being used for multi-objective"),
    ],
)
def test_a_sampler_that_raises_is_one_line_and_the_search_goes_on_with_another_one(
    name: str,
    says: str,
    make_ledger: Callable[..., Ledger],
    make_study: Callable[..., optuna.Study],
    journal_of: Callable[[optuna.Study], list[dict[str, Any]]],
    run: Callable[..., Ledger],
) -> None:
    study = make_study()
    with pytest.raises(UserError) as raised:
        run(make_ledger(study, budget=4, sampler=name))
    assert says in str(raised.value)
    assert str(raised.value).endswith("the same command with another sampler goes on")
    assert "\n" not in str(raised.value)
    again = run(make_ledger(make_study(journal_of(study)), budget=4, sampler="random"))
    assert [trial.state for trial in again.trials if trial.state is not State.DUPLICATE] == [State.COMPLETE] * 4
    assert len({trial.number for trial in again.trials}) == len(again.trials)


@pytest.mark.usefixtures("mine")
def test_a_file_that_changes_during_a_search_changes_nothing(tmp_path: Path) -> None:
    first = make_sampler("mine.py:OneByOne", 0)
    (tmp_path / "mine.py").write_text("half a senten")
    assert type(make_sampler("mine.py:OneByOne", 0)) is type(first)


@pytest.mark.usefixtures("mine")
def test_another_folder_has_another_file_of_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_sampler("mine.py:OneByOne", 0)
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    (tmp_path / "other" / "mine.py").write_text(SOURCE.replace("OneByOne", "OneByOneElsewhere"))
    with pytest.raises(UserError, match="has no 'OneByOne'"):
        make_sampler("mine.py:OneByOne", 0)
    make_sampler("mine.py:OneByOneElsewhere", 0)
