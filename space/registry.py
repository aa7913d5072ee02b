"""Tables that plug-ins add to, all or nothing: what registers something and then raises has registered nothing."""

import contextlib
from collections.abc import Iterator
from typing import Any

_TABLES: list[tuple[dict[Any, Any], dict[Any, Any]]] = []
"""Each with what it holds without plug-ins."""


def remember(table: dict[Any, Any]) -> None:
    """See to this table, too; it holds now what it does without plug-ins."""
    _TABLES.append((table, dict(table)))


@contextlib.contextmanager
def all_or_nothing() -> Iterator[None]:
    """If anything is raised inside, every registry holds again what it held before."""
    before = [dict(table) for table, _ in _TABLES]
    try:
        yield
    except BaseException:
        for place, (table, at_first) in enumerate(_TABLES):  # some may have been imported inside
            table.clear()
            table.update(before[place] if place < len(before) else at_first)
        raise
