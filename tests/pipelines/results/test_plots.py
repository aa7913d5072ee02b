"""The pictures of the fronts: where designs stand, what is pale, where the legend is; in both renderers alike."""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from pipelines.results.colours import colours
from pipelines.results.cost_axes import cost_axis
from pipelines.results.fronts import Row, front_rows
from pipelines.results.plots import front_page, front_picture
from pipelines.terminal.formats import parse_count
from space.cost import Quantity
from tests.objectives import FPS, OBJECTIVES, PARAMS

PLAIN = 220_090


def row(trial: int, design: str, added: int, score: float, fps: float, backbone: str = "resnet20") -> Row:
    return Row(
        trial=trial,
        backbone=backbone,
        design=design,
        objectives=OBJECTIVES,
        score=score,
        gain=score - 0.92,
        costs={"num_params": PLAIN + added, "fps": fps},
        plain_costs={"num_params": PLAIN, "fps": 9000.0},
        mlflow_run_id=None,
    )


def rows() -> list[Row]:
    """A search as it comes out: gates add 27 to 230,000 to the parameters of the plain network."""
    return [
        row(0, "none", 0, 0.92, 9000.0),
        row(1, "eca", 27, 0.925, 8900.0),
        row(2, "ras:depth=4", 7168, 0.943, 8500.0),
        row(3, "se:reduction=8", 119_904, 0.939, 8700.0),
        row(4, "ras", 224, 0.919, 8600.0),
        row(5, "spa", 230_000, 0.944, 6000.0),
        row(6, "mine:width=2", 7169, 0.91, 8400.0),
    ]


def with_another_backbone() -> list[Row]:
    return [
        *rows(),
        row(7, "none", -145_000, 0.9, 17000.0, "resnet11"),
        row(8, "se", -141_000, 0.91, 16000.0, "resnet11"),
    ]


@dataclass(frozen=True)
class Dot:
    x: float
    y: float
    colour: str
    opacity: float


@dataclass(frozen=True)
class Drawn:
    """What a renderer made of the rows."""

    dots: Sequence[Dot]
    line: Sequence[tuple[float, float]]
    ticks: dict[float, str]
    legend: dict[str, float]
    """Opacity by name."""
    legend_is_outside: bool


def by_plotly(shown: Sequence[Row], cost: Quantity) -> Drawn:
    figure: dict[str, Any] = front_page(shown, cost, "title").to_dict()
    line, *traces = figure["data"]
    axis, legend = figure["layout"]["xaxis"], figure["layout"]["legend"]
    dots = [
        Dot(x, y, trace["marker"]["color"], trace["marker"]["opacity"])
        for trace in traces
        if trace.get("showlegend", True) is False
        for x, y in zip(trace["x"], trace["y"], strict=True)
    ]
    named = {t["name"]: t.get("marker", {}).get("opacity", 1.0) for t in figure["data"] if t.get("showlegend", True)}
    assert axis.get("type", "linear") == "linear"
    return Drawn(
        dots,
        list(zip(line["x"], line["y"], strict=True)),
        dict(zip(axis["tickvals"], axis["ticktext"], strict=True)),
        named,
        legend["x"] >= 1 and legend["xanchor"] == "left",
    )


def by_matplotlib(shown: Sequence[Row], cost: Quantity) -> Drawn:
    figure: Figure = front_picture(shown, [cost], "title")
    figure.draw_without_rendering()
    (axes,), (legend,) = figure.axes, figure.legends
    dots = [
        Dot(x, y, to_hex(np.asarray(points.get_facecolor())[0]).upper(), float(points.get_alpha() or 0.0))
        for points in axes.collections
        for x, y in np.asarray(points.get_offsets()).tolist()
    ]
    texts = [text.get_text() for text in legend.get_texts()]
    opacities = [1.0 if (alpha := handle.get_alpha()) is None else alpha for handle in legend.get_lines()]
    (line,) = axes.lines
    return Drawn(
        dots,
        [(x, y) for x, y in np.asarray(line.get_xydata()).tolist()],
        dict(zip(axes.get_xticks(), [text.get_text() for text in axes.get_xticklabels()], strict=True)),
        dict(zip(texts, opacities, strict=True)),
        not legend.get_window_extent().overlaps(axes.get_window_extent()),
    )


renderers = pytest.mark.parametrize("draw", [by_plotly, by_matplotlib])
Draw = Callable[[Sequence[Row], Quantity], Drawn]


def found(drawn: Drawn, wanted: Row) -> Dot:
    (dot,) = [dot for dot in drawn.dots if dot.y == pytest.approx(100 * wanted.score)]
    return dot


@renderers
@pytest.mark.parametrize("shown", [rows(), with_another_backbone()])
@pytest.mark.parametrize("cost", [PARAMS, FPS])
def test_every_design_is_drawn_once_in_the_order_of_its_cost(draw: Draw, shown: list[Row], cost: Quantity) -> None:
    drawn = draw(shown, cost)

    assert len(drawn.dots) == len(shown)
    xs = sorted(shown, key=lambda r: r.costs[cost.key])
    places = [cost_axis(shown, cost).place(r) for r in xs]
    assert all(left < right for left, right in itertools.pairwise(places))  # no two costs at one place
    assert sorted(dot.x for dot in drawn.dots) == pytest.approx(places)


@renderers
def test_plain_is_leftmost_and_added_parameters_are_logarithmic(draw: Draw) -> None:
    shown = rows()
    drawn = draw(shown, PARAMS)

    plain, *others = (found(drawn, r).x for r in shown)
    assert plain < min(others)
    for (a, left), (b, right) in itertools.combinations(zip(shown[1:], others, strict=True), 2):
        ratio = (a.costs["num_params"] - PLAIN) / (b.costs["num_params"] - PLAIN)
        assert left - right == pytest.approx(math.log10(ratio))
    width = max(others) - plain
    assert min(others) - plain > 0.1 * width  # plain stands apart from the design that adds least


@pytest.mark.parametrize("shown", [rows(), with_another_backbone()])
def test_a_tick_stands_where_a_design_of_that_size_would(shown: list[Row]) -> None:
    axis = cost_axis(shown, PARAMS)

    assert {"plain", "1k", "100k"} <= set(axis.ticks.values())
    for place, text in axis.ticks.items():
        size = 0 if text == "plain" else parse_count(text.removeprefix("−"), "tick")
        design = row(99, "se", -size if text.startswith("−") else size, 0.5, 1.0)
        assert place == pytest.approx(axis.place(design))
        assert axis.limits[0] < place < axis.limits[1]
    assert "plain resnet20 (220,090)" in axis.label


def test_another_backbone_that_is_smaller_stands_left_of_plain_and_the_nearer_the_less_it_lacks() -> None:
    shown = with_another_backbone()
    place = cost_axis(shown, PARAMS).place

    assert place(shown[7]) < place(shown[8]) < place(shown[0])


def test_ticks_are_few_and_at_least_two_whatever_the_sizes() -> None:
    for low, high in itertools.combinations((27, 300, 31_000, 39_000, 100_000, 3_000_000), 2):
        shown = [row(0, "none", 0, 0.9, 9000.0), row(1, "se", low, 0.91, 8900.0), row(2, "se", high, 0.92, low)]
        for cost in (PARAMS, FPS):
            assert 2 <= len(cost_axis(shown, cost).ticks) <= 12


@pytest.mark.parametrize("cost", [PARAMS, FPS])
@renderers
def test_a_search_of_one_design_or_without_a_plain_one_can_be_drawn(draw: Draw, cost: Quantity) -> None:
    assert len(draw(rows()[:1], cost).dots) == 1
    assert len(draw(rows()[1:], cost).dots) == len(rows()) - 1


@renderers
@pytest.mark.parametrize("cost", [PARAMS, FPS])
def test_dominated_designs_are_pale_and_a_line_joins_the_others(draw: Draw, cost: Quantity) -> None:
    shown = rows()
    drawn = draw(shown, cost)
    best = front_rows(shown, cost)

    for design in shown:
        full = design in best or design.design == "none"
        assert (found(drawn, design).opacity == 1.0) is full
    assert {round(y, 6) for _, y in drawn.line} == {round(100 * design.score, 6) for design in best}
    assert [x for x, _ in drawn.line] == sorted(x for x, _ in drawn.line)


@renderers
def test_the_legend_lies_beside_the_points_and_shows_full_colours(draw: Draw) -> None:
    drawn = draw(rows(), PARAMS)

    assert drawn.legend_is_outside
    assert set(drawn.legend) == {"front", "plain", "eca", "ras", "se", "spa", "mine"}
    assert set(drawn.legend.values()) == {1.0}


def test_both_renderers_show_the_same() -> None:
    for cost in (PARAMS, FPS):
        page, picture = by_plotly(rows(), cost), by_matplotlib(rows(), cost)
        for design in rows():
            a, b = found(page, design), found(picture, design)
            assert (a.x, a.y, a.opacity) == pytest.approx((b.x, b.y, b.opacity))
            assert a.colour == b.colour
        assert page.ticks == picture.ticks


def test_each_attention_has_a_colour_of_its_own_in_whatever_picture() -> None:
    names = ["mine", "yours", "none", "se", *(f"plugged{number}" for number in range(6))]
    assert len(set(colours(names).values())) == len(names)
    for name in ("mine", "se"):
        assert colours([name]) == {name: colours(["none", name, "ras"])[name]}
    assert colours(names) == colours(reversed(names))
    many = [f"plugged{number}" for number in range(20)]
    assert set(colours(many)) == set(many)


def test_hovering_tells_what_a_design_adds() -> None:
    figure: dict[str, Any] = front_page(rows(), PARAMS, "title").to_dict()
    texts = [text for trace in figure["data"] for text in trace.get("text", ())]

    (ras,) = [text for text in texts if "ras:depth=4" in text]
    for part in (
        "94.3 %",
        "+2.3 on plain",
        "n = 1",
        "227,258 parameters",
        "+7,168 added",
        "8,500 frames per second",
        "trial 2",
    ):
        assert part in ras


def test_what_was_trained_several_times_has_whiskers_as_long_as_the_interval_of_its_gain() -> None:
    plain, once, *others = rows()
    often = replace(others[0], n=4, low=0.01, high=0.035)  # gains 0.023
    shown = [plain, replace(once, low=-0.01, high=0.02), often]
    figure: dict[str, Any] = front_page(shown, PARAMS, "title").to_dict()
    traces = [trace for trace in figure["data"] if "error_y" in trace]
    drawn = {
        y: (down, up)
        for trace in traces
        for y, down, up in zip(trace["y"], trace["error_y"]["arrayminus"], trace["error_y"]["array"], strict=True)
    }
    assert drawn[100 * often.score] == pytest.approx((1.3, 1.2))
    assert [reach for y, reach in drawn.items() if y != 100 * often.score] == [(0.0, 0.0)] * 2

    (axes,) = front_picture(shown, [PARAMS], "title").axes
    (whisker,) = [lines for lines in axes.collections if isinstance(lines, LineCollection)]
    ((low, high),) = [np.asarray(segment)[:, 1] for segment in whisker.get_segments()]
    assert (low, high) == pytest.approx((94.3 - 1.3, 94.3 + 1.2))


def test_of_many_designs_those_on_no_front_are_small_and_have_no_whiskers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.results.plots.MANY", len(rows()) - 1)
    shown = [replace(it, n=3, low=(it.gain or 0.0) - 0.01, high=(it.gain or 0.0) + 0.02) for it in rows()]
    best = {it.design for it in front_rows(shown, PARAMS)}
    page = front_page(shown, PARAMS, "designs").to_plotly_json()
    sizes = {
        (text.split("</b>")[0].removeprefix("<b>")): (trace["marker"]["size"], up > 0)
        for trace in page["data"]
        if "error_y" in trace
        for text, up in zip(trace["text"], trace["error_y"]["array"], strict=True)
    }

    assert {design for design, (_, whisker) in sizes.items() if whisker} == {*best, "none"}
    assert {design for design, (size, _) in sizes.items() if size > 5} == {*best, "none"}
    axes, *_ = front_picture(shown, [PARAMS], "designs").axes
    assert sum(isinstance(it, LineCollection) for it in axes.collections) == len({*best, "none"})
