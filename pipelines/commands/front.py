"""`search front`: the two Pareto fronts of a study."""

import csv
import sys

from pipelines.results import fronts, plots
from pipelines.results.fronts import FRONTS, fronts_json, metric_of, rows
from pipelines.results.tables import print_fronts
from pipelines.settings.options.commands import FrontOptions
from pipelines.terminal import exit_codes
from pipelines.terminal.console import print_json, say
from pipelines.tracking.runs import run_ids
from search.storage import Storage
from space import UserError


def front(options: FrontOptions) -> int:
    """Print the fronts of a study as tables, JSON or CSV, or draw them; returns the exit code.

    Raises:
        UserError: no such study, or none of its trials is complete.
    """
    storage = Storage(options.storage)
    record = storage.read(storage.find(options.study))
    complete = rows(record.trials, run_ids(record.attributes), metric_of(record.attributes))
    png = options.png
    if png is not None:
        if not complete:
            raise UserError(f"study {record.name} has no complete trial to draw yet")
        try:
            plots.write_png(complete, FRONTS, f"{record.name}: {len(complete)} designs", png)
        except (OSError, ValueError) as error:
            raise UserError(f"--png {png}: {error}") from None
        say(f"wrote {png}")
    if options.json:
        print_json(fronts_json(complete))
    elif options.csv:
        lines = [{"front": name, **row.to_json()} for name in FRONTS for row in fronts.front(complete, name)]
        writer = csv.DictWriter(sys.stdout, list(lines[0]) if lines else ["front"])
        writer.writeheader()
        writer.writerows(lines)
    elif png is None:
        print_fronts(record)
    return exit_codes.COMPLETE
