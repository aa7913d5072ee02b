"""What every sampler has to keep to."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import optuna
import pytest
from optuna.samplers import BaseSampler, NSGAIIISampler, NSGAIISampler, RandomSampler
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._storage import JournalOperation
from optuna.trial import TrialState

from search.genetic import QuickNSGAIISampler, Remembered
from search.ledger import Ledger
from search.proposers import Sampled
from search.samplers import SAMPLERS, make_sampler
from search.trials import State, Trial
from space.choices import Candidate, SearchSpace
from space.cost import Costs
from space.errors import UserError
from tests.objectives import OBJECTIVES

every_sampler = pytest.mark.parametrize("name", SAMPLERS)


def decisions(name: str, seed: int, trials: int = 30) -> list[dict[str, int]]:
    """What a sampler decides, past its random start, on a problem of three objectives."""
    study = optuna.create_study(directions=["maximize", "minimize", "maximize"], sampler=make_sampler(name, seed))
    for _ in range(trials):
        trial = study.ask()
        x, y = (trial.suggest_categorical(axis, list(range(9))) for axis in "xy")
        study.tell(trial, [x * (9 - y), x, y])
    return [trial.params for trial in study.get_trials()]


@every_sampler
def test_the_same_seed_decides_the_same(name: str) -> None:
    assert decisions(name, seed=3) == decisions(name, seed=3)


@every_sampler
def test_another_seed_decides_otherwise(name: str) -> None:
    assert decisions(name, seed=3) != decisions(name, seed=4)


def test_the_same_seed_decides_the_same_in_another_process() -> None:
    script = (
        "import json, runpy, sys; names = json.loads(sys.argv[2]);"
        "decisions = runpy.run_path(sys.argv[1])['decisions'];"
        "print(json.dumps({name: decisions(name, 3) for name in names}))"
    )
    names = json.dumps(list(SAMPLERS))
    printed = subprocess.run(
        [sys.executable, "-c", script, __file__, names], capture_output=True, text=True, check=True
    ).stdout
    assert json.loads(printed) == {name: decisions(name, seed=3) for name in SAMPLERS}


@every_sampler
def test_a_sampler_warns_of_nothing_in_a_search_of_three_objectives(
    name: str, recwarn: pytest.WarningsRecorder
) -> None:
    decisions(name, seed=0)
    assert not recwarn.list


def test_an_unknown_sampler_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UserError, match="no sampler 'tep'; there are " + ", ".join(SAMPLERS)):
        make_sampler("tep", 0)


def test_a_recombining_sampler_learns_from_earlier_trials(
    make_ledger: Callable[..., Ledger], make_study: Callable[..., optuna.Study], run: Callable[..., Ledger]
) -> None:
    """After its first population nsga2 breeds from parents; without a common set of choices it would draw at random."""
    study = make_study()
    run(make_ledger(study, budget=30, sampler="nsga2"))
    frozen = study.get_trials()
    every = set(frozen[0].params)
    assert every, "trial 0 decides on every choice, too"
    assert all(set(trial.params) == every for trial in frozen)
    generations = {value for trial in frozen for key, value in trial.system_attrs.items() if "generation" in key}
    assert len(generations) > 1


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


def test_each_trial_and_each_decision_has_a_seed_of_its_own_and_the_same_one_again(
    registries: None,
    make_ledger: Callable[..., Ledger],
    make_study: Callable[..., optuna.Study],
    make_costs: Callable[[SearchSpace], dict[Candidate, Costs]],
    run: Callable[..., Ledger],
    space: SearchSpace,
) -> None:
    seeds: list[tuple[int, str, int]] = []

    @SAMPLERS.register("noting")
    class Noting(RandomSampler):
        """Notes with which seed it decides on what; the name is empty for what is decided together."""

        def __init__(self, seed: int) -> None:
            super().__init__(seed)
            self.seed = seed

        def sample_relative(self, study: Any, trial: Any, search_space: Any) -> dict[str, Any]:
            seeds.append((trial.number, "", self.seed))
            return super().sample_relative(study, trial, search_space)

        def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:
            seeds.append((trial.number, param_name, self.seed))
            return super().sample_independent(study, trial, param_name, param_distribution)

    run(make_ledger(make_study(), budget=5, sampler="noting"))
    first = list(seeds)
    assert len({seed for _, _, seed in first}) == len(first) > 5
    assert {trial for trial, name, _ in first if not name} >= set(range(5))
    seeds.clear()
    run(make_ledger(make_study(), budget=5, sampler="noting"))
    assert seeds == first

    seeds.clear()
    handle = make_study().ask()  # by the study's own sampler
    Sampled(space, make_costs(space), (), "noting", 0, OBJECTIVES).propose(handle)
    assert seeds == [noted for noted in first if noted[0] == 0]


def test_a_sampler_is_registered_under_a_name_of_its_own(registries: None) -> None:
    @SAMPLERS.register("mine")
    class Mine(RandomSampler):
        """Random."""

    SAMPLERS.register("three")(NSGAIIISampler)
    assert isinstance(make_sampler("mine", 0), Mine)
    assert isinstance(make_sampler("three", 0), NSGAIIISampler)
    assert decisions("three", seed=3) == decisions("three", seed=3) != decisions("three", seed=4)
    for name in ("mine", "tpe"):
        with pytest.raises(UserError, match=f"there is a sampler '{name}' already"):
            SAMPLERS.register(name)(NSGAIISampler)
    with pytest.raises(UserError, match="there are tpe, nsga2, random, front, mine, three, package"):
        make_sampler("mien", 0)


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


@pytest.mark.parametrize("kind", ["in memory", "journal", "sqlite"])
def test_nsga2_decides_as_optunas_does_whatever_fails_and_in_whichever_order_trials_end(
    kind: str, tmp_path: Path
) -> None:
    """Ours forgets now and then, as between two sessions, and takes up a study of Optuna's."""
    remembered = Remembered()

    def storage(name: str) -> BaseStorage:
        made: dict[str, Callable[[], BaseStorage]] = {
            "in memory": InMemoryStorage,
            "journal": lambda: JournalStorage(JournalFileBackend(str(tmp_path / name))),
            "sqlite": lambda: RDBStorage(f"sqlite:///{tmp_path / name}.db"),
        }
        return made[kind]()

    def theirs(number: int) -> BaseSampler:
        return NSGAIISampler(population_size=8, seed=number)

    def ours(number: int) -> BaseSampler:
        nonlocal remembered
        if number % 7 == 0:
            remembered = Remembered()
        return (
            theirs(number) if number < 15 else QuickNSGAIISampler(population_size=8, seed=number, remembered=remembered)
        )

    def told(make: Callable[[int], BaseSampler], into: BaseStorage) -> list[Any]:
        random = Random(0)
        optuna.create_study(storage=into).enqueue_trial({})  # so that ids are no numbers
        study = optuna.create_study(storage=into, directions=["maximize", "minimize"])
        running: list[optuna.Trial] = []
        for number in range(60):
            study.sampler = make(number)
            running.append(study.ask())
            for name in "abcd" if random.random() < 0.9 or number < 20 else "abd":
                running[-1].suggest_categorical(name, range(9))
            random.shuffle(running)
            while running and random.random() < 0.5:
                how = random.choice([TrialState.COMPLETE] * 5 + [TrialState.FAIL, TrialState.PRUNED])
                ended = running.pop()
                values = [ended.params["a"] * (9 - ended.params["b"]), ended.params["d"]]
                study.tell(ended, values if how is TrialState.COMPLETE else None, how)
        attributes = into.get_study_system_attrs(study._study_id)
        return [attributes, [(trial.params, trial.system_attrs) for trial in study.trials]]

    expected = told(theirs, storage("theirs"))
    assert told(ours, storage("ours")) == expected
    assert max(attributes.get("NSGAIISampler:generation", 0) for _, attributes in expected[1]) >= 3
