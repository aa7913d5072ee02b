"""`search status`: how far a study is, or all of them are."""

from typing import Any

from rich.table import Table

from pipelines.settings.options.status import StatusOptions
from pipelines.terminal import exit_codes
from pipelines.terminal.console import print_json, stdout, warn
from pipelines.terminal.secrets import hidden
from search.storage import Record, Storage
from search.trials import State
from space import UserError


def status(options: StatusOptions) -> int:
    """Print how many trials of a study are in which state, or list all studies; returns the exit code.

    Raises:
        UserError: no such study, or none at all.
    """
    storage = Storage(options.storage)
    if options.study is None:
        names = [name for name in storage.names(every=True) if _is_made(storage, name)]
        if not names:
            storage.find(None, every=True)  # says so
        _print_all([{"kind": _kind(name), **_counts(storage, name)} for name in names], options.json)
    else:
        _print_one(storage.read(storage.find(options.study, every=True)), options.json)
    return exit_codes.COMPLETE


def counts_of(record: Record) -> dict[str, Any]:
    """Designs by state, replicates of them apart, the budget of the last command and the epochs trained."""
    count = {state: sum(trial.state is state for trial in record.trials) for state in State}
    designs = {state: sum(t.state is state and t.counts for t in record.trials) for state in State}
    return {
        "study": record.name,
        "budget": record.attributes.get("budget"),
        "complete": designs[State.COMPLETE],
        "stopped": designs[State.STOPPED],
        "replicates": sum(trial.trained and not trial.counts for trial in record.trials),
        "failed": count[State.FAILED],
        "running": count[State.RUNNING],
        "duplicates": count[State.DUPLICATE],
        "infeasible": count[State.INFEASIBLE],
        "epochs_trained": sum(len(trial.history) for trial in record.trials),
    }


def _kind(name: str) -> str:
    """What a study of this name is, as MLflow has it; a retraining is below its search."""
    first, _, rest = name.partition("/")
    if not rest:
        return "search"
    return "retrain" if rest.startswith("retrain-") else first


def _is_made(storage: Storage, name: str) -> bool:
    """Whether there is something to tell of a study, and be it that it cannot be read."""
    try:
        return storage.exists(name)
    except UserError:
        return True


def _counts(storage: Storage, name: str) -> dict[str, Any]:
    """Of a study among others, which one that cannot be read does not hide."""
    try:
        return counts_of(storage.read(name))
    except UserError as error:
        warn(f"study {name}: {error}")
        return {"study": name, "error": str(error)}


def _print_all(found: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    table = Table(box=None)
    for name in ("study", "kind"):
        table.add_column(name, overflow="fold")
    for name in ("trained", "of", "running", "failed"):
        table.add_column(name, justify="right")
    for study in found:
        row = [study["study"], study["kind"]]
        if "error" not in study:
            numbers = (study["complete"] + study["stopped"], study["budget"], study["running"], study["failed"])
            row += ["" if number is None else f"{number:,}" for number in numbers]
        table.add_row(*row)
    stdout.print(table)


def _print_one(record: Record, as_json: bool) -> None:
    counts = counts_of(record)
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
