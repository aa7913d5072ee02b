"""`search front`: the Pareto fronts of a study."""

import csv
import sys

from pipelines.results import fronts, plots
from pipelines.results.fronts import fronts_json
from pipelines.results.tables import print_fronts, rows_of
from pipelines.settings.objectives import objectives_of
from pipelines.settings.options.front import FrontOptions
from pipelines.terminal import exit_codes
from pipelines.terminal.console import print_json, say
from search.storage import Storage
from space import UserError


def front(options: FrontOptions) -> int:
    """Print the fronts of a study as tables, JSON or CSV, or draw them; returns the exit code.

    Raises:
        UserError: no such study, or none of its trials is complete.
    """
    storage = Storage(options.storage)
    record = storage.read(storage.find(options.study))
    objectives = objectives_of(record.attributes)
    complete = rows_of(record)
    png = options.png
    if png is not None:
        if not complete:
            raise UserError(f"study {record.name} has no complete trial to draw yet")
        try:
            plots.write_png(complete, objectives.costs, f"{record.name}: {len(complete)} designs", png)
        except (OSError, ValueError) as error:
            raise UserError(f"--png {png}: {error}") from None
        say(f"wrote {png}")
    if options.json:
        print_json(fronts_json(complete, objectives))
    elif options.csv:
        found = [(cost, row) for cost in objectives.costs for row in fronts.front_rows(complete, cost)]
        lines = [{"front": cost.name, **row.to_json(cost)} for cost, row in found]
        writer = csv.DictWriter(sys.stdout, list(lines[0]) if lines else ["front"])
        writer.writeheader()
        writer.writerows(lines)
    elif png is None:
        print_fronts(record)
    return exit_codes.COMPLETE
