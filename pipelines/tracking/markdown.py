"""The terminal's tables as Markdown, for pages that show it."""

import re
from collections.abc import Iterable

from rich.table import Column, Table

MOST_ROWS = 20


def markdown(table: Table) -> str:
    """A table with its title; of a long one the first rows, and how many more there are."""
    columns = table.columns
    cells = [[_unbroken(column, _escaped(str(cell))) for cell in column.cells] for column in columns]
    rows = list(zip(*cells, strict=True))
    lines = [f"**{_escaped(str(table.title))}**", ""] if table.title else []
    lines.append(_line([_escaped(str(column.header)) for column in columns]))
    lines.append("|".join(["", *("--:" if column.justify == "right" else ":--" for column in columns), ""]))
    lines += [_line(row) for row in rows[:MOST_ROWS]]
    if len(rows) > MOST_ROWS:
        lines += ["", f"and {len(rows) - MOST_ROWS} more"]
    return "\n".join(lines)


def code(*commands: str) -> str:
    """Commands as a block to copy."""
    return "\n".join(["```", *commands, "```"])


def _unbroken(column: Column, text: str) -> str:
    return text.replace(" ", "&nbsp;") if column.no_wrap else text


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(f'{cell}&emsp;' for cell in cells)} |"  # MLflow draws no space between columns


def _escaped(text: str) -> str:
    return re.sub(r"([\\`*_|<>])", r"\\\1", text)
