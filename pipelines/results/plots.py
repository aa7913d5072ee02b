"""The fronts as pictures: interactive pages by Plotly, PNGs by matplotlib, both showing the same."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pipelines.results.colours import colours, markers
from pipelines.results.cost_axes import cost_axis, reference
from pipelines.results.fronts import Row, front_rows
from pipelines.results.tables import show_row_gain
from pipelines.terminal.formats import show_metric
from search.objectives import Objectives
from space.cost import Quantity

if TYPE_CHECKING:
    import plotly.graph_objects as go
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LINE = "#888888"
PALE = 0.3
MANY = 500
"""Designs above which those on no front are drawn as small dots, without intervals."""
STEPS: Mapping[str, tuple[Literal["hv", "vh"], Literal["post", "pre"]]] = {
    "less": ("hv", "post"),
    "more": ("vh", "pre"),
}
"""How the line of a front goes from design to design, by what is better: in Plotly's words and in matplotlib's."""


@dataclass(frozen=True, kw_only=True)
class _Dots:
    """Designs that are drawn alike: one attention, on the front or not.

    Attributes:
        attention: its name.
        colour: of it.
        rows: the designs.
        on_front: whether they are; the others are pale.
        small: whether they are drawn as small dots: see `MANY`.
    """

    attention: str
    colour: str
    rows: Sequence[Row]
    on_front: bool
    small: bool

    @property
    def name(self) -> str:
        return "plain" if self.attention == "none" else self.attention

    @property
    def markers(self) -> tuple[str, str]:
        return markers(self.attention)

    @property
    def diameter(self) -> int:
        return 15 if self.attention == "none" else 11 if self.on_front else 3 if self.small else 8

    @property
    def edge(self) -> float:
        """Width of the white line around each."""
        return 0.0 if self.small else 1.0

    @property
    def whiskers(self) -> Sequence[tuple[float, float]]:
        """For each how far its interval is drawn downwards and upwards."""
        return [(0.0, 0.0) if self.small else _whiskers(row) for row in self.rows]

    @property
    def opacity(self) -> float:
        return 1.0 if self.on_front or self.attention == "none" else PALE


def front_page(rows: Sequence[Row], cost: Quantity, title: str) -> "go.Figure":
    """The front of a cost, to look into: hovering tells all about a design."""
    import plotly.graph_objects as go

    axis = cost_axis(rows, cost)
    line = _line(rows, cost)
    figure = go.Figure()
    figure.add_scatter(
        x=[axis.place(row) for row in line],
        y=[100 * row.score for row in line],
        mode="lines",
        line={"color": LINE, "width": 1.5, "shape": STEPS[cost.better][0]},
        name="front",
        hoverinfo="skip",
    )
    origin = reference(rows, cost)
    named: set[str] = set()
    for dots in _dots(rows, cost):
        look = {"color": dots.colour, "symbol": dots.markers[0], "line": {"width": dots.edge, "color": "white"}}
        if dots.name not in named:  # the legend shows a full colour, however pale the designs are
            marker = {**look, "size": 11}
            figure.add_scatter(x=[None], y=[None], mode="markers", name=dots.name, marker=marker, legendgroup=dots.name)
            named.add(dots.name)
        figure.add_scatter(
            x=[axis.place(row) for row in dots.rows],
            y=[100 * row.score for row in dots.rows],
            mode="markers",
            name=dots.name,
            legendgroup=dots.name,
            showlegend=False,
            text=[_hover(row, origin) for row in dots.rows],
            hovertemplate="%{text}<extra></extra>",
            error_y={
                "array": [up for _, up in dots.whiskers],
                "arrayminus": [down for down, _ in dots.whiskers],
                "color": LINE,
                "thickness": 1,
                "width": 0,
            },
            marker={**look, "size": dots.diameter, "opacity": dots.opacity},
        )
    figure.update_layout(
        title=title,
        template="plotly_white",
        xaxis={
            "title": axis.label,
            "range": axis.limits,
            "tickvals": list(axis.ticks),
            "ticktext": list(axis.ticks.values()),
            "zeroline": False,
        },
        yaxis={"title": _score_label(rows)},
        legend={"title": "attention", "x": 1.02, "xanchor": "left"},
    )
    return figure


def write_html(rows: Sequence[Row], cost: Quantity, title: str, path: Path) -> None:
    """The page of a front as a file that needs no internet."""
    path.write_text(front_page(rows, cost, title).to_html(include_plotlyjs=True, full_html=True))


def front_picture(rows: Sequence[Row], costs: Sequence[Quantity], title: str) -> "Figure":
    """The same as `front_page`, the fronts of these costs side by side."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    figure = Figure(figsize=(7.5 * len(costs) + 1.2, 5), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    for cost, axes in zip(costs, figure.subplots(1, len(costs), squeeze=False)[0], strict=True):
        _draw(axes, rows, cost)
    looks = {dots.name: (dots.markers[1], dots.colour) for dots in _dots(rows, costs[0])}
    handles = [Line2D([], [], color=LINE, label="front")]
    handles += [
        Line2D([], [], linestyle="", marker=marker, color=colour, markersize=8, label=name)
        for name, (marker, colour) in looks.items()
    ]
    figure.legend(handles=handles, title="attention", frameon=False, loc="outside right center")
    return figure


def write_png(rows: Sequence[Row], costs: Sequence[Quantity], title: str, path: Path) -> None:
    """The picture of fronts as a file."""
    front_picture(rows, costs, title).savefig(path, dpi=130)


def write_comparison(results: Sequence[Mapping[str, Any]], objectives: Objectives, title: str, path: Path) -> None:
    """Each design's paired difference to plain with its interval, the largest on top.

    Args:
        results: as `summarise` gives them, with differences.
        objectives: what was compared, and the costs to tell.
        title: above the picture.
        path: PNG to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = sorted(results, key=lambda result: result["paired_difference"]["mean"])
    figure = Figure(figsize=(8, 1.6 + 0.45 * len(shown)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    attentions = [result["design"].partition(":")[0] for result in shown]
    colour_of = colours(attentions)
    for row, (result, attention) in enumerate(zip(shown, attentions, strict=True)):
        paired = result["paired_difference"]
        mean, low, high = (100 * paired[name] for name in ("mean", "low", "high"))
        axes.errorbar(
            mean,
            row,
            xerr=[[mean - low], [high - mean]],
            fmt=markers(attention)[1],
            color=colour_of[attention],
            capsize=4,
            markersize=8,
            alpha=1.0 if low > 0 or high < 0 else 0.55,
        )
    axes.axvline(0.0, color=LINE, linewidth=1.2, zorder=0)
    labels = [f"{r['design']}\n{', '.join(_told(cost, r) for cost in objectives.costs)}, n = {r['n']}" for r in shown]
    axes.set_yticks(range(len(shown)), labels, fontsize=8)
    axes.set_ylim(-0.6, len(shown) - 0.4)
    images = "test" if objectives.metric.startswith("test_") else "validation"
    axes.set(
        title=title,
        xlabel=f"difference in {images} {show_metric(objectives.metric)}, points, with joint 95 % intervals",
    )
    axes.grid(axis="x", alpha=0.25)
    figure.savefig(path, dpi=130)


def _draw(axes: "Axes", rows: Sequence[Row], cost: Quantity) -> None:
    axis = cost_axis(rows, cost)
    line = _line(rows, cost)
    axes.step(
        [axis.place(row) for row in line],
        [100 * row.score for row in line],
        where=STEPS[cost.better][1],
        color=LINE,
        linewidth=1.2,
        zorder=1,
    )
    for dots in _dots(rows, cost):
        axes.scatter(
            [axis.place(row) for row in dots.rows],
            [100 * row.score for row in dots.rows],
            s=0.7 * dots.diameter**2,
            alpha=dots.opacity,
            color=dots.colour,
            marker=dots.markers[1],
            edgecolors="white",
            linewidths=0.6 * dots.edge,
            zorder=3 if dots.on_front or dots.attention == "none" else 2,
        )
        for row, (down, up) in zip(dots.rows, dots.whiskers, strict=True):
            if down or up:
                axes.vlines(
                    axis.place(row), 100 * row.score - down, 100 * row.score + up, color=LINE, linewidth=1, zorder=1
                )
    axes.set_xticks(list(axis.ticks), list(axis.ticks.values()))
    axes.set(xlabel=axis.label, ylabel=_score_label(rows), xlim=axis.limits)
    axes.grid(alpha=0.25)


def _line(rows: Sequence[Row], cost: Quantity) -> list[Row]:
    """The front from the left to the right."""
    place = cost_axis(rows, cost).place
    return sorted(front_rows(rows, cost), key=place)


def _dots(rows: Sequence[Row], cost: Quantity) -> Iterator[_Dots]:
    """All designs, attention by attention, those on the front last: they are drawn over the others."""
    best = {row.trial for row in front_rows(rows, cost)}
    by_attention: dict[str, list[Row]] = {}
    for row in rows:
        by_attention.setdefault(row.design.partition(":")[0], []).append(row)
    for attention, colour in colours(by_attention).items():
        for on_front in (False, True):
            there = [row for row in by_attention[attention] if (row.trial in best) is on_front]
            if there:
                small = len(rows) > MANY and not on_front and attention != "none"
                yield _Dots(attention=attention, colour=colour, rows=there, on_front=on_front, small=small)


def _whiskers(row: Row) -> tuple[float, float]:
    """How far the interval of the gain reaches below the score and above it, in points; 0 of what was trained once."""
    if row.n == 1 or row.gain is None or row.low is None or row.high is None:
        return 0.0, 0.0
    return 100 * (row.gain - row.low), 100 * (row.high - row.gain)


def _score_label(rows: Sequence[Row]) -> str:
    return f"validation {show_metric(rows[0].objectives.metric)}, %"


def _hover(row: Row, origin: Row) -> str:
    gain = "" if row.gain is None else f" ({show_row_gain(row)} on plain)"
    trained = f"{row.backbone}, trial {row.trial}, n = {row.n}"
    lines = [f"<b>{row.design}</b>", trained, f"{100 * row.score:.1f} %{gain}"]
    for cost in row.objectives.costs:
        value, share = row.costs[cost.key], row.relative(cost)
        against = "" if share is None else f" ({share:.2f} x plain)"
        if cost.against_plain == "added":
            added = value - origin.costs[cost.key]
            against = f" ({'+' if added > 0 else ''}{cost.show(added)} added)"
        lines.append(f"{cost.show(value)} {cost.unit or cost.words}{against}")
    return "<br>".join(lines)


def _told(cost: Quantity, result: Mapping[str, Any]) -> str:
    """A cost as a share of plain's where it is set against that so."""
    share = result.get(f"relative_{cost.key}")
    if share is not None:
        return f"{share:.2f} x {cost.column}"
    return f"{cost.show(result[cost.key])} {cost.words}"
