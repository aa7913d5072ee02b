"""`search doctor`: what is torn, doubled or left over in the studies of a storage, mended when told to."""

from typing import Any

from rich.table import Table

from pipelines.settings.options.doctor import DoctorOptions
from pipelines.terminal import exit_codes
from pipelines.terminal.console import print_json, say, stdout
from search.checkup import Finding, findings
from search.storage import Storage
from space.errors import Stopped, UserError, first_line


def doctor(options: DoctorOptions) -> int:
    """Look at one study or all of them; returns the exit code: failed where one cannot be used as it is.

    Raises:
        UserError: no such study, or none at all.
    """
    storage = Storage(options.storage)
    names = storage.names(every=True) if options.study is None else [storage.find(options.study, every=True)]
    if not names:
        storage.find(None, every=True)  # says so
    told: list[dict[str, Any]] = []
    for name in names:
        told += _looked_at(storage, name, options.mend)
    if options.json:
        print_json(told)
    else:
        _show(told, len(names))
        if not options.mend and any(it["can_be_mended"] for it in told):
            say("`search doctor --mend` does what can be done.")
    unusable = any(it["serious"] and not it["mended"] for it in told)
    return exit_codes.FAILED if unusable else exit_codes.COMPLETE


def _looked_at(storage: Storage, name: str, mend: bool) -> list[dict[str, Any]]:
    """What is found of a study, mended if told to; that it is being written is all that is said of one that is."""
    try:
        with storage.answering(), storage.held(name):
            return [_told(name, it, it.mend() if mend and it.mend else "") for it in findings(storage, name)]
    except (UserError, Stopped) as error:
        return [_told(name, Finding(says=str(error), remedy=""), "")]
    except Exception as error:  # whatever is wrong with one study, the others are looked at
        says = f"it cannot be looked at: {type(error).__name__}: {first_line(error)}"
        return [_told(name, Finding(says=says, remedy="", serious=True), "")]


def _told(name: str, finding: Finding, mended: str) -> dict[str, Any]:
    return {
        "study": name,
        "says": finding.says,
        "remedy": finding.remedy,
        "can_be_mended": finding.mend is not None,
        "mended": mended,
        "serious": finding.serious,
    }


def _show(told: list[dict[str, Any]], studies: int) -> None:
    if not told:
        say(f"{studies:,} studies; nothing is torn, doubled or left over.")
        return
    table = Table(box=None)
    for column in ("study", "what", "remedy"):
        table.add_column(column, overflow="fold")
    for it in told:
        table.add_row(it["study"], it["says"], it["mended"] or it["remedy"])
    stdout.print(table)
