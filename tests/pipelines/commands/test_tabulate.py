"""`search tabulate` writes a table of curves, and `search launch --table` searches on it in seconds."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient

from pipelines.settings.study import Settings
from pipelines.tracking.runs import EXPERIMENT
from search.storage import Storage
from search.table import Table, halves
from search.trials import State
from space.backbones import backbone
from space.space_files import load_space
from tests.pipelines.commands.test_bad_input import assert_one_line
from tests.pipelines.conftest import Ended, Search, mlflow_runs
from trainers.recipe import recipe

TABULATE = ("tabulate", "--space", "tiny.toml", "--epochs", "1", "--train-size", "60", "--engine", "local")
EPOCHS, SEEDS = 20, 4


@pytest.fixture
def table(here: Path) -> Table:
    """Made-up curves of the small space, saved as table.npz: of images that nobody has."""
    space = load_space("small", {"resnet20": backbone("resnet20").layout})
    designs = [design for _, design in dict.fromkeys([space.plain(), *space.enumerate()])]
    settings = Settings(
        dataset="digits",
        train_size=None,
        data="the digest of no images",
        images={"train": 200, "val": 798, "test": 799},
        num_classes=10,
        shape=(1, 8, 8),
        backbones=("resnet20",),
        space=space.to_dict(),
        recipe=recipe("digits"),
        seed=0,
        device="cpu",
        device_name="some processor",
        form="folded",
        dtype="float32",
        objectives=("val_accuracy", "params", "fps"),
        space_name="small",
        recipe_name="digits",
    )
    random = np.random.default_rng(0)
    curves = random.random((len(designs), SEEDS, EPOCHS)).astype(np.float32)
    curves[5, :, 7:] = np.nan
    made = Table(
        designs=tuple(designs),
        val_accuracy=curves,
        seconds=random.uniform(2.0, 6.0, (len(designs), SEEDS)),
        costs={"num_params": random.integers(1000, 2000, len(designs)), "fps": random.uniform(1e3, 2e3, len(designs))},
        settings=settings.to_json(),
    )
    made.save(here / "table.npz")
    return made


def on_table(search: Search, *arguments: str) -> Ended:
    """Search on table.npz in a study called mine."""
    return search("launch", "--table", "table.npz", "--study", "mine", *arguments)


def story(storage: str = "runs") -> list[Any]:
    """What was tried in which order, and what came of it."""
    trials = Storage(storage).read("mine").trials
    return [(t.number, t.state, t.job.to_json(), t.last.get("val_accuracy"), len(t.history)) for t in trials]


def test_a_table_of_a_space_has_every_design_under_every_seed(search: Search, here: Path) -> None:
    ended = search(*TABULATE, "--seeds", "2", "--table", "made/it.npz", "--json")

    assert ended.code == 0, ended.err
    size = search("space", "--space", "tiny.toml", "--json").json["designs"]
    table = Table.load(here / "made/it.npz")
    assert str(table.designs[0]) == "none"
    assert table.val_accuracy.shape == (size, 2, 1) == (ended.json["designs"], 2, 1)
    trials = Storage("runs").read(ended.json["study"]).trials
    for trial in trials:
        row = table.rows[trial.job.design]
        assert table.val_accuracy[row, trial.job.seed, 0] == np.float32(trial.last["val_accuracy"])
        assert table.seconds[row, trial.job.seed] == trial.last["seconds"]
        assert table.costs_of(trial.job.design) == trial.job.costs
    assert len(mlflow_runs("tabulate")) == 1

    (listed,) = search("status", "--json").json
    assert (listed["study"], listed["kind"], listed["complete"]) == (ended.json["study"], "tabulate", 2 * size)
    assert listed["study"].startswith("tabulate/")


def test_stopped_it_says_so_and_the_same_command_goes_on_and_writes_the_table(search: Search, here: Path) -> None:
    command = (*TABULATE, "--seeds", "3", "--table", "table.npz")
    stopped = search(*command, "--time-limit", "0.3s")
    assert stopped.code == 3
    assert "the same command goes on" in stopped.err
    assert not (here / "table.npz").exists()

    ended = search(*command)
    assert ended.code == 0, ended.err
    table = Table.load(here / "table.npz")
    assert np.isfinite(table.val_accuracy).all()
    (listed,) = search("status", "--json").json
    assert listed["complete"] == table.val_accuracy.size

    launched = search("launch", "--table", "table.npz", "--budget", "100", "--json")
    assert launched.code == 0, launched.err
    assert launched.json["trials"] == len(table.designs)


def test_a_table_that_is_there_is_extended_by_seeds_and_designs_alone(search: Search, here: Path) -> None:
    def tabulate(space: str, seeds: int, storage: str) -> Ended:
        (here / "tiny.toml").write_text(space)
        command = (*TABULATE, "--seeds", str(seeds), "--table", "table.npz", "--storage", storage, "--json")
        ended = search(*command)
        assert ended.code == 0, ended.err
        return ended

    tabulate('attention = ["none", "se"]', 2, "one")
    first = Table.load(here / "table.npz")
    name = tabulate('attention = ["none", "se", "eca"]', 3, "other").json["study"]
    table = Table.load(here / "table.npz")

    rows = [table.rows[design] for design in first.designs]
    assert np.array_equal(table.val_accuracy[rows, :2], first.val_accuracy)
    assert np.array_equal(table.seconds[rows, :2], first.seconds)
    assert np.isfinite(table.val_accuracy).all()
    assert table.val_accuracy.shape[:2] == (len(table.designs), 3)
    trials = Storage("other").read(name).trials
    assert len(trials) == table.val_accuracy.size - first.val_accuracy.size

    (here / "table.npz").touch()
    whole = (here / "table.npz").read_bytes()
    assert tabulate('attention = ["none", "se", "eca"]', 2, "third").json["seeds"] == 3  # nothing is lost
    assert (here / "table.npz").read_bytes() == whole
    assert not (here / "third").exists()


def test_a_table_of_other_trainings_or_of_more_designs_is_not_written_over(search: Search, here: Path) -> None:
    command = (*TABULATE, "--seeds", "2", "--table", "table.npz")
    assert search(*command).code == 0
    (here / "less.toml").write_text('attention = ["none"]')
    wrong = {"--epochs 2": "other trainings (recipe)", "--space less.toml": "which this space has not"}
    for arguments, words in wrong.items():
        assert_one_line(search, here, [*command, *arguments.split()], "table.npz", words, "name another --table")


def test_a_search_of_200_designs_sees_the_curves_and_the_costs_of_the_table(search: Search, table: Table) -> None:
    ended = on_table(search, "--budget", "200", "--sampler", "random", "--json")

    assert ended.code == 0, ended.err
    assert ended.json["trials"] == 200
    every = Storage("runs").read("mine").trials
    trials = [t for t in every if t.trained]
    (seen, _), rows = halves(SEEDS, 0), table.rows
    for trial in trials:
        curve = table.val_accuracy[rows[trial.job.design], seen[trial.job.replicate]]
        assert [report["val_accuracy"] for report in trial.history] == curve.tolist()
        assert trial.job.costs == table.costs_of(trial.job.design)
    assert max(Counter(trial.job.design for trial in trials if not trial.job.replicate).values()) == 1
    assert ended.json["replicates"] == sum(trial.job.replicate > 0 for trial in trials) > 0
    assert {trial.job.replicate for trial in trials} == set(range(len(seen)))  # as often as the table allows
    assert str(trials[0].job.design) == "none"
    assert ended.json["simulated_seconds"] == pytest.approx(
        sum(table.seconds[rows[t.job.design], seen[t.job.replicate]] for t in every if t.history)
    )


def test_no_run_in_mlflow_is_made_unless_a_server_is_named(search: Search, table: Table, here: Path) -> None:
    assert on_table(search, "--budget", "2").code == 0
    assert MlflowClient().get_experiment_by_name(EXPERIMENT) is None
    assert on_table(search, "--budget", "3", "--tracking-uri", f"sqlite:///{here / 'mlflow.db'}").code == 0
    assert len(mlflow_runs()) == sum(trial.trained for trial in Storage("runs").read("mine").trials)


def test_the_same_seed_gives_the_same_search_interrupted_or_not(search: Search, table: Table) -> None:
    def run(*arguments: str) -> int:
        return on_table(search, "--budget", "25", "--seed", "3", *arguments).code

    assert run("--storage", "one") == 0
    stops = 0
    while run("--storage", "other", "--time-limit", "0.1s") == 3:
        stops += 1
    assert stops > 0
    assert story("one") == story("other")
    assert on_table(search, "--budget", "25", "--seed", "4", "--storage", "third").code == 0
    assert story("third") != story("one")


def test_with_halving_trials_are_stopped_at_the_rungs_counted_and_the_same_interrupted_or_not(
    search: Search, table: Table
) -> None:
    def run(*arguments: str) -> Ended:
        return on_table(search, "--budget", "25", "--halving", "--rungs", "0.1,0.5", "--json", *arguments)

    whole = run("--storage", "one")
    while run("--storage", "other", "--time-limit", "0.1s").code == 3:
        pass
    assert story("one") == story("other")

    trials = Storage("one").read("mine").trials
    stopped = [trial for trial in trials if trial.state is State.STOPPED]
    assert {len(trial.history) for trial in stopped} == {2, 10}
    assert (whole.json["trials"], whole.json["stopped"]) == (25, len(stopped))
    assert whole.json["epochs_trained"] == sum(len(trial.history) for trial in trials)
    status = search("status", "mine", "--storage", "one", "--json").json
    assert (status["stopped"], status["complete"] + status["stopped"]) == (len(stopped), 25)
    ended = search("launch", "--study", "mine", "--storage", "one", "--budget", "26")
    assert "26 designs trained (" in ended.err
    assert "of them stopped at a rung)" in ended.err


def test_a_dry_run_with_halving_expects_less(search: Search, table: Table) -> None:
    """Of three designs one passes a rung: (2 + 8 / 3 + 10 / 9) of 20 epochs."""
    dry = ("--budget", "25", "--dry-run", "--json")
    whole = on_table(search, *dry).json["estimated_seconds"]
    halved = on_table(search, *dry, "--halving", "--rungs", "0.1,0.5", "--reduction-factor", "3")
    assert halved.json["estimated_seconds"] == pytest.approx(whole * (2 + 8 / 3 + 10 / 9) / 20)


def test_a_named_study_goes_on_on_its_table(search: Search, table: Table) -> None:
    on_table(search, "--budget", "2", "--seed", "7", "--workers", "2")
    ended = search("launch", "--study", "mine", "--budget", "5", "--json")
    assert ended.code == 0, ended.err
    assert ended.json["trials"] == 5
    assert ended.json["epochs_trained"] == (5 + ended.json["replicates"]) * EPOCHS


@pytest.fixture
def fewer(table: Table, here: Path) -> Table:
    """Twenty designs of the table, the one that failed among them, saved as fewer.npz."""
    some = slice(0, 20)
    made = replace(
        table,
        designs=table.designs[some],
        val_accuracy=table.val_accuracy[some],
        seconds=table.seconds[some],
        costs={key: values[some] for key, values in table.costs.items()},
    )
    made.save(here / "fewer.npz")
    return made


def test_a_failed_training_of_the_table_fails_in_the_search_and_costs_no_budget(search: Search, fewer: Table) -> None:
    assert search("launch", "--table", "fewer.npz", "--study", "mine", "--workers", "8").code == 0
    trials = Storage("runs").read("mine").trials
    (failed,) = [trial for trial in trials if trial.state is State.FAILED]
    assert failed.job.design == fewer.designs[5]
    assert len(failed.history) == 7
    assert {trial.job.design for trial in trials if trial.trained} == {*fewer.designs} - {fewer.designs[5]}


def test_a_limit_holds_for_the_costs_of_the_table(search: Search, fewer: Table) -> None:
    sizes = dict(zip(fewer.designs, fewer.costs["num_params"], strict=True))
    bound = int(np.median(fewer.costs["num_params"]))
    assert search("launch", "--table", "fewer.npz", "--study", "mine", "--max-params", str(bound)).code == 0
    tried = {trial.job.design for trial in Storage("runs").read("mine").trials if trial.history}
    assert tried == {design for design, size in sizes.items() if size <= bound}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--dataset", "cifar10"], ["--dataset: a table has its data"]),
        (["--epochs", "3", "--space", "full"], ["--space", "--epochs"]),
        (["--engine", "ray"], ["--engine"]),
        (["--objectives", "macro_f1,params"], ["macro_f1", "table.npz", "accuracy"]),
        (["--limit", "macs<=40M"], ["table.npz does not know", "num_params, fps"]),
        (["--max-params", "10"], ["--max-params 10", "no design"]),
    ],
)
def test_what_a_table_settles_or_does_not_know_is_refused(
    search: Search, table: Table, here: Path, arguments: list[str], words: list[str]
) -> None:
    assert_one_line(search, here, ["launch", "--table", "table.npz", *arguments], *words)


def test_a_study_stays_on_its_table(search: Search, table: Table, here: Path) -> None:
    on_table(search, "--budget", "1")
    assert_one_line(search, here, ["launch", "--study", "mine", "--epochs", "3"], "--epochs: a table has its data")
    table.val_accuracy[0, 0, 0] = 0.5
    table.save(here / "table.npz")
    again = ["launch", "--study", "mine"]
    assert_one_line(search, here, again, "study mine was made with another content of its table")


def test_a_study_of_trained_networks_takes_no_table(search: Search, launch: Search, table: Table, here: Path) -> None:
    launch("--study", "mine", "--budget", "1")
    assert_one_line(search, here, ["launch", "--study", "mine", "--table", "table.npz"], "study mine was made with")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["launch", "--table", "nosuch.npz"], ["no table", "nosuch.npz", "search tabulate"]),
        (["launch", "--table", "tiny.toml"], ["tiny.toml is torn, or no table of curves"]),
        (["tabulate", "--seeds", "1"], ["--seeds 1"]),
        (["tabulate", "--metric", "macro_f1"], ["--metric macro_f1"]),
        (["tabulate", "--backbone", "resnet11,resnet20"], ["one --backbone"]),
        (["tabulate", "--table", "."], ["--table . is a folder"]),
    ],
)
def test_a_mistake_is_one_line(search: Search, here: Path, arguments: list[str], words: list[str]) -> None:
    assert_one_line(search, here, arguments, *words)


def test_a_table_of_another_version_or_of_one_seed_is_refused(search: Search, table: Table, here: Path) -> None:
    replace(table, val_accuracy=table.val_accuracy[:, :1], seconds=table.seconds[:, :1]).save(here / "one.npz")
    assert_one_line(search, here, ["launch", "--table", "one.npz"], "one.npz has one seed")
    replace(table, settings={**table.settings, "format": 0}).save(here / "old.npz")
    assert_one_line(search, here, ["launch", "--table", "old.npz"], "old.npz", "another version")
