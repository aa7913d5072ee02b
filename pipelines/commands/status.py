"""`search status`: how far a study is."""

from typing import Any

from rich.table import Table

from pipelines.terminal.console import print_json, stdout
from pipelines.terminal.secrets import hidden
from search.storage import Record, Storage
from search.trials import State


def show_status(study: str | None, storage: str, as_json: bool) -> None:
    """Print how many trials of a study are in which state.

    Raises:
        UserError: no such study.
    """
    places = Storage(storage)
    record = places.read(places.find(study))
    counts = status(record)
    if as_json:
        print_json(counts)
        return
    table = Table(box=None, show_header=False)
    for name, value in counts.items():
        table.add_row(name, f"{value:,}" if isinstance(value, int) else str(value))
    for trial in record.trials:
        if trial.state is State.RUNNING:
            table.add_row(f"trial {trial.number}", f"running {trial.job.design}")
        elif trial.failure is not None:
            table.add_row(f"trial {trial.number}", hidden(f"failed {trial.job.design}: {trial.why_failed}"))
    stdout.print(table)


def status(record: Record) -> dict[str, Any]:
    """Counts by state, the budget of the last launch and the epochs trained."""
    count = {state: sum(trial.state is state for trial in record.trials) for state in State}
    return {
        "study": record.name,
        "budget": record.attributes.get("budget"),
        "complete": count[State.COMPLETE],
        "stopped": count[State.STOPPED],
        "failed": count[State.FAILED],
        "running": count[State.RUNNING],
        "duplicates": count[State.DUPLICATE],
        "infeasible": count[State.INFEASIBLE],
        "epochs": sum(len(trial.history) for trial in record.trials),
    }
