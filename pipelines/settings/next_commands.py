"""What to type after a search."""

from collections.abc import Mapping

from pipelines.settings.fields import flag
from pipelines.settings.options.shared import Stored
from pipelines.terminal.secrets import hidden
from search.storage import DEFAULT_FOLDER

LAUNCHED = "launched"
"""The attribute of a search with what the last launch was told that may change: its sampler and its bounds."""


def next_commands(name: str, where: Stored, bounds: Mapping[str, float]) -> dict[str, str]:
    """A command for each thing to do next.

    Args:
        name: of the study.
        where: it is, and with which plug-ins.
        bounds: on the work so far, by the names of their fields; the search goes on with twice as much.
    """
    place = "" if where.storage == DEFAULT_FOLDER else f" --storage {hidden(where.storage)}"
    place += "".join(f" --plugin {path}" for path in where.plugin)
    more = "".join(f" {flag(bound)} {2 * value:g}" for bound, value in bounds.items())
    return {
        "retrain": f"search retrain {name} --top 3 --seeds 5{place}",
        "more": f"search launch --study {name}{more}{place}",
    }
