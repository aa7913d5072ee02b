"""The effect of every choice on the metric: as a table, JSON and a picture."""

from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.table import Table

from pipelines.terminal.formats import show_gain, show_metric
from search.importance import Effect

EXPLANATION = (
    "Points, with 95 % intervals, by a model of all trainings. An attention is set against the plain network, any "
    "other choice against the average of all values of its field. Bold is what the interval tells from none."
)
LINE = "#888888"
CLEAR, UNCLEAR = "#0072B2", "#7F7F7F"


def effects_table(effects: Sequence[Effect], metric: str) -> Table:
    """A row for each choice."""
    title = f"effect of each choice on {show_metric(metric)}"
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=True)
    for column in ("field", "value"):
        table.add_column(column, no_wrap=True)
    for column in ("designs", "effect", "95 %"):
        table.add_column(column, justify="right", no_wrap=True)
    for field, group in groupby(effects, lambda effect: effect.field):
        for first, effect in enumerate(group):
            interval = f"{show_gain(effect.low)}, {show_gain(effect.high)}"
            cells = (effect.value, str(effect.designs), show_gain(effect.mean), interval)
            table.add_row("" if first else field, *cells, style="bold" if effect.clear else None)
    return table


def effects_json(effects: Sequence[Effect]) -> list[dict[str, Any]]:
    """An entry for each choice."""
    return [asdict(effect) for effect in effects]


def write_effects(effects: Sequence[Effect], metric: str, title: str, path: Path) -> None:
    """A picture with a line for each choice, in the order of the table.

    Args:
        effects: at least one.
        metric: that they are of.
        title: above the picture.
        path: file to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 1.6 + 0.28 * len(effects)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for row, effect in enumerate(reversed(effects)):
        mean, low, high = (100 * value for value in (effect.mean, effect.low, effect.high))
        colour = CLEAR if effect.clear else UNCLEAR
        axes.errorbar(mean, row, xerr=[[mean - low], [high - mean]], fmt="o", color=colour, capsize=3, markersize=5)
    axes.axvline(0.0, color=LINE, linewidth=1.2, zorder=0)
    labels = [f"{effect.field} = {effect.value}" for effect in reversed(effects)]
    axes.set_yticks(range(len(effects)), labels, fontsize=8)
    axes.set_ylim(-0.6, len(effects) - 0.4)
    axes.set(title=title, xlabel=f"effect on validation {show_metric(metric)}, points, with 95 % interval")
    axes.grid(axis="x", alpha=0.25)
    figure.savefig(path, dpi=130)
