"""`search front`: the Pareto fronts of a study."""

import csv
import sys
from pathlib import Path

from pipelines.results import plots
from pipelines.results.fronts import front, fronts_json, rows
from pipelines.results.tables import print_fronts
from pipelines.settings.objectives import objectives_of
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
    objectives = objectives_of(record.attributes)
    complete = rows(record.trials, run_ids(record.attributes), objectives)
    if png is not None:
        if not complete:
            raise UserError(f"study {record.name} has no complete trial to draw yet")
        try:
            plots.write_png(complete, objectives.costs, f"{record.name}: {len(complete)} designs", png)
        except (OSError, ValueError) as error:
            raise UserError(f"--png {png}: {error}") from None
        say(f"wrote {png}")
    if as_json:
        print_json(fronts_json(complete, objectives))
    elif as_csv:
        lines = [{"front": cost.name, **row.to_json()} for cost in objectives.costs for row in front(complete, cost)]
        writer = csv.DictWriter(sys.stdout, list(lines[0]) if lines else ["front"])
        writer.writeheader()
        writer.writerows(lines)
    elif png is None:
        print_fronts(record)
