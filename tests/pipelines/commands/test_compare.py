"""`search compare`: pairs under the same seeds, intervals, verdicts; resumable and extendable."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
from scipy import stats

from pipelines.results.paired import Difference, verdict
from pipelines.tracking.pages import NOTE
from search.storage import Storage
from search.trials import State
from tests.pipelines.conftest import Ended, Search, mlflow_runs

TINY = ("--epochs", "1", "--train-size", "60", "--backbone", "resnet11", "--engine", "local")


@pytest.fixture
def compare(search: Search) -> Callable[..., Ended]:
    def run(*arguments: str) -> Ended:
        return search("compare", *arguments, *TINY)

    return run


def test_each_design_is_paired_with_the_plain_network_by_seed(compare: Search) -> None:
    ended = compare("se", "eca", "--seeds", "3", "--json")

    assert ended.code == 0, ended.err
    plain, *designs = ended.json["results"]
    assert (plain["design"], [result["design"] for result in designs]) == ("none", ["se", "eca"])
    assert plain["paired_difference"] is None
    for result in designs:
        assert set(result["by_seed"]) == {"0", "1", "2"} == set(plain["by_seed"])
        paired = result["paired_difference"]
        differences = [result["by_seed"][seed] - plain["by_seed"][seed] for seed in result["by_seed"]]
        expected = stats.ttest_1samp(differences, 0.0).confidence_interval(1 - 0.05 / 2)  # two designs
        assert paired["mean"] == pytest.approx(sum(differences) / 3)
        if len(set(differences)) > 1:
            assert (paired["low"], paired["high"]) == pytest.approx((expected.low, expected.high))
        assert result["verdict"] in ("better", "worse", "indistinguishable")
        assert result["num_params"] > plain["num_params"]
        assert result["relative_fps"] == pytest.approx(result["fps"] / plain["fps"])


def test_the_same_command_trains_nothing_more_and_other_designs_and_seeds_extend_it(compare: Search) -> None:
    first = compare("se", "--seeds", "2", "--json")
    name = first.json["study"]

    def trained() -> list[tuple[str, int]]:
        trials = Storage("runs").read(name).trials
        assert all(trial.state is State.COMPLETE for trial in trials)
        return sorted((str(trial.job.design), trial.job.seed) for trial in trials)

    assert trained() == [("none", 0), ("none", 1), ("se", 0), ("se", 1)]
    again = compare("se", "--seeds", "2", "--json")
    assert again.json == first.json
    assert len(trained()) == 4

    more = compare("eca", "se", "--seeds", "3", "--json")
    assert more.json["study"] == name
    assert trained() == [(design, seed) for design in ("eca", "none", "se") for seed in range(3)]
    before, after = first.json["results"][1], more.json["results"][2]
    assert after["design"] == before["design"] == "se"
    assert {seed: after["by_seed"][seed] for seed in before["by_seed"]} == before["by_seed"]
    assert after["fps"] == before["fps"]


def test_a_comparison_leaves_numbers_and_a_picture_on_disk_and_in_mlflow(compare: Search) -> None:
    name = compare("se", "--seeds", "2", "--json").json["study"]

    folder = Path("runs") / name
    assert (folder / "comparison.png").read_bytes().startswith(b"\x89PNG")
    (run,) = mlflow_runs("compare")
    assert run.data.tags["study"] == name
    assert math.isfinite(run.data.metrics["difference/se"])
    assert len(mlflow_runs()) == 4
    for part in ("comparison.png", "difference (95 %)", "Student's t", "se"):
        assert part in run.data.tags[NOTE]
    for shown in (run, *mlflow_runs()):
        assert {"accuracy", "gain", "num_params", "fps"} <= set(shown.data.metrics)


def test_the_terminal_shows_the_interval_and_the_verdict(compare: Search) -> None:
    ended = compare("se", "--seeds", "2")

    assert ended.code == 0
    row = next(line for line in ended.out.splitlines() if " se " in line)
    assert "[" in row
    assert any(word in row for word in ("better", "worse", "indistinguishable"))
    assert "its 95 % interval" in ended.out


def test_the_terminal_says_that_the_intervals_of_several_designs_hold_together(compare: Search) -> None:
    assert "2 intervals hold together with 95 % (Bonferroni)" in " ".join(
        compare("se", "eca", "--seeds", "2").out.split()
    )


def test_a_metric_other_than_accuracy_is_compared(compare: Search) -> None:
    ended = compare("se", "--seeds", "2", "--metric", "macro_f1", "--json")

    assert ended.json["metric"] == "val_macro_f1"
    record = Storage("runs").read(ended.json["study"])
    for result in ended.json["results"]:
        scores = {
            str(t.job.seed): t.last["val_macro_f1"] for t in record.trials if str(t.job.design) == result["design"]
        }
        assert result["by_seed"] == scores


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [
        (0.01, 0.02, "better"),
        (-0.02, -0.01, "worse"),
        (-0.01, 0.02, "indistinguishable"),
        (0.0, 0.0, "indistinguishable"),
    ],
)
def test_a_verdict_needs_an_interval_without_zero(low: float, high: float, word: str) -> None:
    assert verdict(Difference((low + high) / 2, low, high, 3)) == word


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["se", "--seeds", "1"], "--seeds 1"),
        (["sex"], "no attention 'sex'"),
        (["none"], "only the plain network"),
        (["se", "--metric", "f1"], "--metric f1"),
        (["se", "--batch-size", "2000"], "--batch-size"),
        (["se:stages=5"], "stages"),
        (["se", "--weights", "nowhere.pt"], "nowhere.pt"),
        (["se", "--weights", "IMAGENET1K_V1"], "name a file"),
        (["se", "--normalise", "weights"], "--normalise weights"),
        (["se", "--normalise", "so"], "--normalise so"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(compare: Search, arguments: list[str], words: str) -> None:
    ended = compare(*arguments)

    assert ended.code == 2
    (line,) = [line for line in ended.err.splitlines() if line.startswith("search: ")]
    assert words in line
    assert not Path("runs").exists()
