"""The terminal's tables as Markdown, for pages that show it."""

import re

from rich.table import Table

MOST_ROWS = 20


def markdown(table: Table) -> str:
    """A table with its title; of a long one the first rows, and how many more there are."""
    columns = table.columns
    rows = [[_escaped(str(cell)) for cell in row] for row in zip(*(column.cells for column in columns), strict=True)]
    lines = [f"**{_escaped(str(table.title))}**", ""] if table.title else []
    # Pages may draw cells without any space between them.
    lines.append(_line([f"&emsp;{_escaped(str(column.header))}" for column in columns]))
    lines.append(_line(["--:" if column.justify == "right" else ":--" for column in columns]))
    lines += [_line(row) for row in rows[:MOST_ROWS]]
    if len(rows) > MOST_ROWS:
        lines += ["", f"and {len(rows) - MOST_ROWS} more"]
    return "\n".join(lines)


def code(*commands: str) -> str:
    """Commands as a block to copy."""
    return "\n".join(["```", *commands, "```"])


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escaped(text: str) -> str:
    return re.sub(r"([\\`*_|<>])", r"\\\1", text)
