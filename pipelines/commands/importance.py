"""`search importance`: what a study has learnt of each choice."""

from pipelines.results.importance import EXPLANATION, effects_json, effects_table, write_effects
from pipelines.settings.objectives import objectives_of
from pipelines.settings.options.importance import ImportanceOptions
from pipelines.terminal import exit_codes
from pipelines.terminal.console import print_json, say, stdout
from search.importance import effects
from search.storage import Storage
from space import UserError


def importance(options: ImportanceOptions) -> int:
    """Print the effect of every choice as a table or JSON, or draw them; returns the exit code.

    Raises:
        UserError: no such study, or its complete trials do not differ in anything.
    """
    storage = Storage(options.storage)
    record = storage.read(storage.find(options.study))
    metric = objectives_of(record.attributes).metric
    found = effects(record.trials, metric)
    if not found:
        raise UserError(f"study {record.name} has not trained two designs to the end yet")
    if options.png is not None:
        try:
            write_effects(found, metric, record.name, options.png)
        except (OSError, ValueError) as error:
            raise UserError(f"--png {options.png}: {error}") from None
        say(f"wrote {options.png}")
    if options.json:
        print_json({"study": record.name, "metric": metric, "effects": effects_json(found)})
    elif options.png is None:
        stdout.print(effects_table(found, metric))
        stdout.print(EXPLANATION, soft_wrap=True)
    return exit_codes.COMPLETE
