"""Results as tables and sentences: what the terminal prints and MLflow shows."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from pipelines.results.fronts import Row, costs_json, front, rows
from pipelines.settings.objectives import objectives_of
from pipelines.terminal.console import say, stdout
from pipelines.terminal.formats import show_gain, show_metric, show_percent
from pipelines.tracking.runs import run_ids
from search.storage import Record
from space.cost import Quantity


def print_fronts(record: Record) -> None:
    """The fronts as tables, and how much of the differences may be noise."""
    complete = rows(record.trials, run_ids(record.attributes), objectives_of(record.attributes))
    if not complete:
        say(f"study {record.name} has no complete trial yet")
        return
    for table in front_tables(complete):
        stdout.print(table)
    stdout.print(front_verdict(complete, record.attributes["settings"]["images"]["val"]), soft_wrap=True)


def front_tables(complete: Sequence[Row]) -> list[Table]:
    """The fronts, for at least one row."""
    several = len({row.backbone for row in complete}) > 1
    objectives = complete[0].objectives
    metric = show_metric(objectives.metric)
    tables = []
    for cost in objectives.costs:
        table = result_table(f"{metric} against {cost.words}", objectives.costs, metric, "gain", "trial")
        for row in front(complete, cost):
            table.add_row(
                show_percent(row.score),
                "" if row.gain is None else show_gain(row.gain),
                str(row.trial),
                *cost_cells(objectives.costs, costs_json(objectives.costs, row.costs, row.plain_costs)),
                f"{row.backbone} {row.design}" if several else row.design,
            )
        tables.append(table)
    return tables


def front_verdict(complete: Sequence[Row], images: int) -> str:
    """The best gain and how much of the differences may be noise, in a sentence.

    Args:
        complete: at least one row.
        images: that validate.
    """
    best = front(complete, complete[0].objectives.costs[0])[0]
    # As if the errors of two designs were independent: 95 % of their differences are smaller.
    noise = 1.96 * (2 * best.score * (1 - best.score) / images) ** 0.5
    chance = f"with {images:,} validation images, differences under {100 * noise:.1f} points may be chance"
    others = [row.gain for row in complete if row.gain is not None and not row.plain]
    if not others or best.gain is None:
        return f"One seed each: {chance}."
    above = "Best" if best.gain > noise else "None is above plain by more than chance; the best"
    within = sum(abs(gain) <= noise for gain in others)
    return (
        f"{above}: {show_gain(best.gain)} on plain, {best.design}. One seed each: {chance}; "
        f"{within:,} of {len(others):,} designs are within that of plain."
    )


def result_table(title: str, costs: Sequence[Quantity], *columns: str) -> Table:
    """A table of designs: the given columns, then what every design costs, then its text, which may be long."""
    heads = [head for cost in costs for head in (cost.head, *(["vs plain"] if cost.against_plain == "share" else []))]
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=True)
    for column in (*columns, *heads):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("design", overflow="fold")
    return table


def cost_cells(costs: Sequence[Quantity], of: Mapping[str, Any]) -> list[str]:
    """The cells of a design in such a table; `of` has the costs as `costs_json` gives them."""
    cells = []
    for cost in costs:
        cells.append(cost.show(of[cost.key]))
        if cost.against_plain == "share":
            share = of[f"relative_{cost.key}"]
            cells.append("" if share is None else f"{share:.2f} x")
    return cells
