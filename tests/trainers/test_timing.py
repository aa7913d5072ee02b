"""Figures, and calls that take turns."""

import math
from statistics import NormalDist

import pytest

from trainers.measuring import timing
from trainers.measuring.timing import Figure, in_turns


def test_a_figure_is_the_median_and_its_standard_error() -> None:
    assert Figure.of([3.0]) == Figure(3.0, 0.0)
    assert Figure.of([2.0, 2.0, 2.0]) == Figure(2.0, 0.0)
    wide, narrow = Figure.of([1.0, 2.0, 9.0]), Figure.of([1.9, 2.0, 2.1])
    assert wide.value == narrow.value == 2.0
    assert wide.spread > narrow.spread > 0
    for count in (25, 100):
        normal = [NormalDist().inv_cdf((place + 0.5) / count) for place in range(count)]
        assert Figure.of(normal).spread == pytest.approx((math.pi / 2 / count) ** 0.5, rel=0.05)


def test_calls_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "SHORTEST", 0.0)
    called: list[str] = []
    found = in_turns({"a": lambda: called.append("a"), "b": lambda: called.append("b")}, "cpu", 1e9)
    warm_up = 4  # each once, then each to see how long it takes
    rounds = [called[at : at + 2] for at in range(warm_up, len(called), 2)]
    assert rounds == [["a", "b"] if turn % 2 == 0 else ["b", "a"] for turn in range(timing.ROUNDS)]
    assert all(len(each) == timing.ROUNDS and min(each) > 0 for each in found.values())


def test_long_calls_have_fewer_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(in_turns({"a": lambda: None}, "cpu", 0.0)["a"]) == timing.FEWEST_ROUNDS
    monkeypatch.setattr(timing, "SHORTEST", 0.0)
    assert len(in_turns({"a": lambda: None}, "cpu", 1e9)["a"]) == timing.ROUNDS
