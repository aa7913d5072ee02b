"""`search front`: the two Pareto fronts of a study."""

import csv
import sys
from pathlib import Path

from rich.table import Table

from pipelines import plots
from pipelines.console import print_json, say, stdout
from pipelines.fronts import FRONTS, Row, front, fronts_json, metric_of, rows
from pipelines.quantities import show_gain, show_metric, show_percent
from pipelines.tracking import run_ids
from search.storage import Record, Storage
from space import UserError


def show_front(study: str | None, storage: str, as_json: bool, as_csv: bool, png: Path | None) -> None:
    """Print the fronts of a study as tables, JSON or CSV, or draw them.

    Raises:
        UserError: no such study, or none of its trials is complete.
    """
    places = Storage(storage)
    record = places.read(places.find(study))
    complete = rows(record.trials, run_ids(record.attributes), metric_of(record.attributes))
    if png is not None:
        if not complete:
            raise UserError(f"study {record.name} has no complete trial to draw yet")
        try:
            plots.write_png(complete, FRONTS, f"{record.name}: {len(complete)} designs", png)
        except (OSError, ValueError) as error:
            raise UserError(f"--png {png}: {error}") from None
        say(f"wrote {png}")
    if as_json:
        print_json(fronts_json(complete))
    elif as_csv:
        lines = [{"front": name, **row.to_json()} for name in FRONTS for row in front(complete, name)]
        writer = csv.DictWriter(sys.stdout, list(lines[0]) if lines else ["front"])
        writer.writeheader()
        writer.writerows(lines)
    elif png is None:
        print_fronts(record)


def print_fronts(record: Record) -> None:
    """Both fronts as tables, and how much of the differences may be noise."""
    complete = rows(record.trials, run_ids(record.attributes), metric_of(record.attributes))
    if not complete:
        say(f"study {record.name} has no complete trial yet")
        return
    several = len({row.backbone for row in complete}) > 1
    metric = show_metric(complete[0].metric)
    for name, cost in zip(FRONTS, ("parameters", "FPS"), strict=True):
        table = result_table(f"{metric} against {cost}", metric, "gain", "trial")
        for row in front(complete, name):
            table.add_row(
                show_percent(row.score),
                "" if row.gain is None else show_gain(row.gain),
                str(row.trial),
                f"{row.num_params:,}",
                f"{row.fps:,.0f}",
                "" if row.relative_fps is None else f"{row.relative_fps:.2f} x",
                f"{row.backbone} {row.design}" if several else row.design,
            )
        stdout.print(table)
    stdout.print(f"One seed each: {_noise(complete, record.attributes['settings']['images']['val'])}", soft_wrap=True)


def result_table(title: str, *columns: str) -> Table:
    """A table of designs: the given columns, then what every design costs, then its text, which may be long."""
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=True)
    for column in (*columns, "params", "fps", "vs plain"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("design", overflow="fold")
    return table


def _noise(complete: list[Row], images: int) -> str:
    """The 95 % interval of a difference between two accuracies, as if their errors were independent."""
    best = max(row.score for row in complete)
    points = 100 * 1.96 * (2 * best * (1 - best) / images) ** 0.5
    return f"with {images:,} validation images, differences under {points:.1f} points may be chance."
