"""Results as tables and sentences: what the terminal prints and MLflow shows."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from pipelines.results.fronts import Row, costs_json, front_rows, rows
from pipelines.settings.objectives import objectives_of
from pipelines.terminal.console import say, stdout
from pipelines.terminal.formats import show_gain, show_interval, show_metric, show_percent
from pipelines.tracking.runs import run_ids
from search.storage import Record
from space.cost import Quantity


def print_fronts(record: Record) -> None:
    """The fronts as tables, and how sure they are."""
    complete = rows_of(record)
    if not complete:
        say(f"study {record.name} has no complete trial yet")
        return
    for table in front_tables(complete):
        stdout.print(table)
    stdout.print(front_verdict(complete), soft_wrap=True)


def rows_of(record: Record) -> list[Row]:
    """The designs of a search as it is kept."""
    images = record.attributes["settings"]["images"]["val"]
    return rows(record.trials, run_ids(record.attributes), objectives_of(record.attributes), images)


def front_tables(complete: Sequence[Row]) -> list[Table]:
    """The fronts, for at least one row."""
    several = len({row.backbone for row in complete}) > 1
    objectives = complete[0].objectives
    metric = show_metric(objectives.metric)
    tables = []
    for cost in objectives.costs:
        heads = (metric, "gain (95 %)", "better", "on front", "n")
        table = result_table(f"{metric} against {cost.words}", objectives.costs, *heads)
        for row in front_rows(complete, cost):
            table.add_row(
                show_percent(row.score),
                show_row_gain(row),
                "" if row.p_better is None or row.plain else f"{row.p_better:.0%}",
                f"{row.p_front[cost.name]:.0%}",
                str(row.n),
                *cost_cells(objectives.costs, costs_json(objectives.costs, row.costs, row.plain_costs)),
                f"{row.backbone} {row.design}" if several else row.design,
            )
        tables.append(table)
    return tables


def front_verdict(complete: Sequence[Row]) -> str:
    """What the best of the first front gains, and how sure that is, in sentences, for at least one row."""
    told = "Accuracies are what a new seed may be expected to give"
    others = [row for row in complete if row.gain is not None and not row.plain]
    if not others:
        return f"{told}."
    best = front_rows(complete, complete[0].objectives.costs[0])[0]
    if best.plain:
        says = "No design is expected to gain on plain: not better than plain"
    elif best.better:
        says = f"Best: {show_row_gain(best)} on plain, {best.design}"
    else:
        says = f"The best, {best.design}, is not better than plain by more than chance: {show_row_gain(best)}"
    within = sum(row.low is not None and row.high is not None and row.low <= 0 <= row.high for row in others)
    return f"{says}.\n{told}; {within:,} of {len(others):,} designs are within noise of plain."


def show_row_gain(row: Row) -> str:
    """The gain with its interval; of plain itself 0, and nothing before that is trained."""
    if row.gain is None:
        return ""
    if row.plain or row.low is None or row.high is None:
        return show_gain(row.gain)
    return show_interval(row.gain, row.low, row.high)


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
