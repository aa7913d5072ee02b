import csv
import io

import pytest

from pipelines.results.fronts import Row, front_rows
from pipelines.settings.devices import find_device
from pipelines.settings.engines import make_engine
from pipelines.settings.options.shared import Resources
from pipelines.terminal.formats import parse_count, parse_duration, show_duration, show_gain
from space import UserError
from tests.objectives import FPS, OBJECTIVES, PARAMS
from tests.pipelines.conftest import Search


@pytest.mark.parametrize(
    ("text", "number"), [("250000", 250_000), ("100k", 100_000), ("1.5M", 1_500_000), ("2G", 2_000_000_000)]
)
def test_a_count_may_have_a_unit(text: str, number: int) -> None:
    assert parse_count(text, "--flag") == number


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("2h", 7200), ("1h30m", 5400), ("0.5s", 0.5)]
)
def test_a_duration_adds_its_parts(text: str, seconds: float) -> None:
    assert parse_duration(text, "--flag") == seconds


@pytest.mark.parametrize("text", ["", "h", "2", "2x", "h2", "-1h", "1h 30"])
def test_a_duration_without_a_unit_is_a_mistake(text: str) -> None:
    with pytest.raises(UserError, match="--flag"):
        parse_duration(text, "--flag")


@pytest.mark.parametrize("text", ["", "k", "-5", "0", "1.5X", "nan"])
def test_a_count_that_is_no_positive_number_is_a_mistake(text: str) -> None:
    with pytest.raises(UserError, match="--flag"):
        parse_count(text, "--flag")


def test_durations_and_gains_are_shown_with_units_and_signs() -> None:
    assert [show_duration(s) for s in (7.4, 440, 7500)] == ["7 s", "7 min 20 s", "2 h 5 min"]
    assert [show_gain(gain) for gain in (0.024, -0.011, 0.0, 0.0001)] == ["+2.4", "-1.1", "0", "0"]


def test_auto_takes_ray_only_where_it_saves_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.settings.engines._fit", lambda cpus, gpus: 2)
    auto = Resources()
    assert make_engine(auto, "cpu", trials=200, trial_seconds=4.0).name == "ray"
    assert make_engine(auto, "cpu", trials=2, trial_seconds=4.0).name == "local"
    assert make_engine(auto, "cpu", trials=1, trial_seconds=4000.0).name == "local"
    assert make_engine(Resources(workers=1), "cpu", trials=200, trial_seconds=4.0).name == "local"
    assert make_engine(Resources(workers=5), "cpu", trials=200, trial_seconds=4.0).workers == 5


def test_cuda_is_refused_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert find_device("auto", None) == "cpu"
    assert find_device("cuda", "head:6379") == "cuda"
    with pytest.raises(UserError, match="--device cuda"):
        find_device("cuda", None)


def rows() -> list[Row]:
    values = [(0.9, 100, 50.0), (0.95, 200, 40.0), (0.95, 250, 45.0), (0.93, 220, 30.0)]
    return [
        Row(
            trial=number,
            backbone="resnet20",
            design="none",
            objectives=OBJECTIVES,
            score=accuracy,
            gain=None,
            costs={"num_params": num_params, "fps": fps},
            plain_costs=None,
            mlflow_run_id=None,
        )
        for number, (accuracy, num_params, fps) in enumerate(values)
    ]


def test_each_front_weighs_accuracy_against_its_own_cost() -> None:
    assert [row.trial for row in front_rows(rows(), PARAMS)] == [1, 0]
    assert [row.trial for row in front_rows(rows(), FPS)] == [2, 0]


def test_the_csv_holds_the_rows_of_both_fronts(launch: Search, search: Search) -> None:
    result = launch("--budget", "3", "--json").json
    table = list(csv.DictReader(io.StringIO(search("front", "--csv").out)))

    for name in ("params", "fps"):
        assert [int(r["trial"]) for r in table if r["front"] == name] == [entry["trial"] for entry in result[name]]


def test_a_picture_of_the_fronts_is_written_where_the_user_says(launch: Search, search: Search) -> None:
    launch("--budget", "2")
    assert search("front", "--png", "here.png").code == 0
    with open("here.png", "rb") as file:
        assert file.read(4) == b"\x89PNG"


def test_profile_counts_what_the_papers_count(search: Search) -> None:
    ended = search("profile", "ras", "--backbone", "resnet164", "--num-classes", "100", "--no-measuring", "--json")
    assert ended.json["design"] == "ras"
    assert ended.json["num_params"] == 1_759_540  # RAS paper, Table 1: 1.76 M
    assert "fps" not in ended.json


def test_profile_measures_fps_and_says_how(search: Search) -> None:
    result = search("profile", "se:stages=123", "--backbone", "resnet11", "--image-size", "8", "--json").json
    assert result["design"] == "se"
    assert result["fps"] > 0
    assert set(result["fps_conditions"]) == {"device", "batch", "dtype", "threads", "form"}


def test_the_last_study_is_meant_if_none_is_named(launch: Search, search: Search) -> None:
    launch("--budget", "1", "--study", "older")
    launch("--budget", "1", "--study", "newer")
    assert search("status", "--json").json[-1]["study"] == "newer"
    launch("--budget", "2", "--study", "older")
    assert search("status", "--json").json[-1]["study"] == "older"


def test_every_setting_that_matters_makes_another_study(launch: Search) -> None:
    def name(*flags: str) -> str:
        return str(launch("--budget", "1", "--dry-run", "--json", *flags).json["study"])

    same = [name(), name("--sampler", "random"), name("--max-params", "230k"), name("--time-limit", "1h")]
    assert len(set(same)) == 1
    flags = (["--seed", "1"], ["--train-size", "300"], ["--backbone", "resnet11"], ["--space", "papers"])
    others = [name(*given) for given in (*flags, ["--recipe", "ras"])]
    assert len({same[0], *others}) == 1 + len(others)
