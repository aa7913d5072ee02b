"""The fronts as pictures: interactive pages by Plotly, PNGs by matplotlib, both showing the same."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.fronts import Row, front
from pipelines.quantities import show_gain, show_metric

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours, which colour-blind readers can tell apart.
COLOURS = {
    "none": "#000000",
    "se": "#0072B2",
    "ras": "#D55E00",
    "eca": "#009E73",
    "dia": "#CC79A7",
    "cbam": "#E69F00",
    "sem": "#56B4E9",
    "spa": "#7F7F7F",
}
OTHER = "#A6761D"
MARKERS = {"none": ("star", "*"), "se": ("circle", "o"), "ras": ("diamond", "D"), "eca": ("square", "s")}
MARKERS |= {"dia": ("triangle-up", "^"), "cbam": ("cross", "P"), "sem": ("triangle-down", "v"), "spa": ("x", "X")}
AXES = {"params": ("num_params", "parameters"), "fps": ("fps", "frames per second")}
PALE = 0.3


def write_html(rows: Sequence[Row], name: str, title: str, path: Path) -> None:
    """An interactive page that needs no internet; `name` is params or fps."""
    import plotly.graph_objects as go

    field, label = AXES[name]
    best = front(rows, name)
    figure = go.Figure()
    line = sorted(best, key=lambda row: getattr(row, field))
    figure.add_scatter(
        x=[getattr(row, field) for row in line],
        y=[100 * row.score for row in line],
        mode="lines",
        line={"color": "#888888", "width": 1.5, "shape": "hv" if name == "params" else "vh"},
        name="front",
        hoverinfo="skip",
    )
    for attention, group in _by_attention(rows).items():
        on_front = [row in best for row in group]
        figure.add_scatter(
            x=[getattr(row, field) for row in group],
            y=[100 * row.score for row in group],
            mode="markers",
            name=_legend(attention),
            text=[_hover(row) for row in group],
            hovertemplate="%{text}<extra></extra>",
            marker={
                "color": COLOURS.get(attention, OTHER),
                "symbol": MARKERS.get(attention, ("hexagon", "h"))[0],
                "size": [15 if attention == "none" else 11 if there else 8 for there in on_front],
                "opacity": [1.0 if there or attention == "none" else PALE for there in on_front],
                "line": {"width": 1, "color": "white"},
            },
        )
    figure.update_layout(
        title=title,
        template="plotly_white",
        xaxis={"title": label, "type": "log" if _spans_decade(rows, field) else "linear"},
        yaxis={"title": _score_label(rows)},
        legend={"title": "attention"},
    )
    path.write_text(figure.to_html(include_plotlyjs=True, full_html=True))


def write_png(rows: Sequence[Row], names: Sequence[str], title: str, path: Path) -> None:
    """The same as `write_html` as a picture, the fronts named side by side."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5 * len(names), 5), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    for name, axes in zip(names, figure.subplots(1, len(names), squeeze=False)[0], strict=True):
        _draw(axes, rows, name)
    figure.savefig(path, dpi=130)


def write_comparison(results: Sequence[Mapping[str, Any]], metric: str, title: str, path: Path) -> None:
    """Each design's paired difference to plain with its interval, the largest on top.

    Args:
        results: as `summarise` gives them, with differences.
        metric: what was compared, in words.
        title: above the picture.
        path: PNG to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = sorted(results, key=lambda result: result["paired_difference"]["mean"])
    figure = Figure(figsize=(8, 1.6 + 0.45 * len(shown)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for row, result in enumerate(shown):
        paired, attention = result["paired_difference"], result["design"].partition(":")[0]
        mean, low, high = (100 * paired[name] for name in ("mean", "low", "high"))
        axes.errorbar(
            mean,
            row,
            xerr=[[mean - low], [high - mean]],
            fmt=MARKERS.get(attention, ("hexagon", "h"))[1],
            color=COLOURS.get(attention, OTHER),
            capsize=4,
            markersize=8,
            alpha=1.0 if low > 0 or high < 0 else 0.55,
        )
    axes.axvline(0.0, color="#888888", linewidth=1.2, zorder=0)
    labels = [
        f"{r['design']}\n{r['num_params']:,} parameters, {r['relative_fps']:.2f} x fps, n = {r['n']}" for r in shown
    ]
    axes.set_yticks(range(len(shown)), labels, fontsize=8)
    axes.set_ylim(-0.6, len(shown) - 0.4)
    axes.set(title=title, xlabel=f"difference in validation {metric}, points, with 95 % interval")
    axes.grid(axis="x", alpha=0.25)
    figure.savefig(path, dpi=130)


def _draw(axes: "Axes", rows: Sequence[Row], name: str) -> None:
    field, label = AXES[name]
    best = front(rows, name)
    line = sorted(best, key=lambda row: getattr(row, field))
    axes.step(
        [getattr(row, field) for row in line],
        [100 * row.score for row in line],
        where="post" if name == "params" else "pre",
        color="#888888",
        linewidth=1.2,
        label="front",
        zorder=1,
    )
    for attention, group in _by_attention(rows).items():
        for there in (False, True):
            shown = [row for row in group if (row in best) is there]
            axes.scatter(
                [getattr(row, field) for row in shown],
                [100 * row.score for row in shown],
                s=170 if attention == "none" else 70 if there else 36,
                alpha=1.0 if there or attention == "none" else PALE,
                color=COLOURS.get(attention, OTHER),
                marker=MARKERS.get(attention, ("hexagon", "h"))[1],
                edgecolors="white",
                linewidths=0.6,
                zorder=3 if there else 2,
                label=_legend(attention) if there is any(row in best for row in group) else None,
            )
    if _spans_decade(rows, field):
        axes.set_xscale("log")
    else:
        axes.xaxis.set_major_formatter(lambda value, position: f"{value:,.0f}")
    axes.set(xlabel=label, ylabel=_score_label(rows))
    axes.grid(alpha=0.25)
    for handle in axes.legend(title="attention", frameon=False).legend_handles:
        if handle is not None:
            handle.set_alpha(1.0)


def _score_label(rows: Sequence[Row]) -> str:
    return f"validation {show_metric(rows[0].metric)}, %"


def _legend(attention: str) -> str:
    return "plain" if attention == "none" else attention


def _by_attention(rows: Sequence[Row]) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.design.partition(":")[0], []).append(row)
    order = [*COLOURS, *sorted(set(groups) - set(COLOURS))]
    return {attention: groups[attention] for attention in order if attention in groups}


def _spans_decade(rows: Sequence[Row], field: str) -> bool:
    values: list[Any] = [getattr(row, field) for row in rows]
    return bool(values) and math.log10(max(values) / min(values)) >= 1


def _hover(row: Row) -> str:
    gain = "" if row.gain is None else f" ({show_gain(row.gain)} on plain)"
    speed = "" if row.relative_fps is None else f" ({row.relative_fps:.2f} x plain)"
    return (
        f"<b>{row.design}</b><br>{row.backbone}, trial {row.trial}, n = 1<br>"
        f"{100 * row.score:.1f} %{gain}<br>{row.num_params:,} parameters<br>{row.fps:,.0f} fps{speed}"
    )
