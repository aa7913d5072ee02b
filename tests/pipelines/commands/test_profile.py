"""`search profile`: costs of one design, and predictions beside what is measured; forms that networks run in."""

import pytest

from pipelines.running import verifying
from search.storage import Storage
from tests.pipelines.conftest import Search
from trainers.costs import COSTS

SMALL = ("--backbone", "resnet11", "--channels", "1", "--image-size", "8")


def test_every_cost_is_told_with_the_conditions_of_those_that_are_measured(search: Search) -> None:
    result = search("profile", "se", *SMALL, "--json", "--dtype", "bfloat16").json
    assert {cost.quantity.key for cost in COSTS.values()} <= result.keys()
    for key in ("fps", "latency", "memory"):
        assert result[key] > 0
        assert (result[f"{key}_conditions"]["form"], result[f"{key}_conditions"]["dtype"]) == ("folded", "bfloat16")
    assert result["fps_conditions"]["batch"] > result["latency_conditions"]["batch"] == 1


@pytest.mark.parametrize("cost", ["fps", "latency", "memory"])
def test_predictions_stand_beside_whole_networks(search: Search, cost: str) -> None:
    found = search("profile", "se", "cbam", "--verify", cost, *SMALL, "--json").json
    assert [row["design"] for row in found["designs"]] == ["none", "se", "cbam"]
    assert all(row["predicted"] > 0 < row["measured"] for row in found["designs"])
    assert found["rank_correlation"] is None or -1 <= found["rank_correlation"] <= 1
    shown = search("profile", "se", "cbam", "--verify", cost, *SMALL)
    assert (shown.code, "cbam" in shown.out) == (0, True)


def test_without_designs_some_of_the_space_are_verified(search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifying, "DESIGNS", 3)
    found = search("profile", "--verify", "fps", *SMALL, "--json").json
    assert len({row["design"] for row in found["designs"]}) == 4


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("se", "ras"), "give several with --verify"),
        (("se", "--verify", "params"), "it is exact"),
        (("se", "--verify", "beauty"), "no cost 'beauty'"),
        (("se", "--verify", "memory", "--form", "compiled"), "memory is known of --form folded and eager"),
        (("se", "--form", "origami"), "--form origami: there are folded, eager, compiled, onnxruntime"),
        (("se", "--dtype", "int3"), "--dtype int3: there are float32, bfloat16"),
        (("se", "--form", "onnxruntime", "--dtype", "bfloat16"), "on CPUs in float32"),
    ],
)
def test_mistakes_are_told_in_a_line(search: Search, arguments: tuple[str, ...], says: str) -> None:
    ended = search("profile", *arguments, *SMALL)
    assert ended.code == 2
    assert says in ended.err
    assert not ended.out


def test_a_study_keeps_the_form_that_it_was_made_with(launch: Search) -> None:
    mine = ("--study", "mine", "--budget", "1")
    assert launch(*mine, "--form", "eager").code == 0
    (measured,) = [v for k, v in Storage("runs").read("mine").attributes.items() if k == "measured:fps"]
    assert measured["conditions"]["form"] == "eager"
    ended = launch(*mine, "--form", "folded")
    assert ended.code == 2
    assert "made with --form eager" in ended.err
    assert launch(*mine).code == 0
