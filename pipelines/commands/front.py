"""`search front`: the two Pareto fronts of a study."""

import csv
import sys
from pathlib import Path

from pipelines.results import plots
from pipelines.results.fronts import FRONTS, front, fronts_json, metric_of, rows
from pipelines.results.tables import print_fronts
from pipelines.terminal.console import print_json, say
from pipelines.tracking.runs import run_ids
from search.storage import Storage
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
