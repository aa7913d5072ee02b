"""`search reproduce`: the experiments of the two papers, listed, counted or trained.

What takes long to import is imported where it is used: the list is there at once.
"""

from rich.table import Table

from pipelines.papers.experiments import experiment, experiments
from pipelines.settings.options.reproduce import ReproduceOptions
from pipelines.terminal.console import print_json, stdout
from space import UserError


def reproduce(options: ReproduceOptions) -> int:
    """List the experiments, print parameter counts, or train an experiment; returns the exit code.

    Raises:
        UserError: a mistake in the options; nothing has been written then.
    """
    if options.name is None and not options.all:
        _list_experiments(options.run.json)
        return 0
    chosen = list(experiments().values()) if options.name is None else [experiment(options.name)]
    wanted = {one.name: one.of(options.rows) for one in chosen}
    if not any(wanted.values()):
        names = ", ".join(repr(row.name) for one in chosen for row in one.rows)
        where = options.name or "any experiment"
        raise UserError(f"--rows {', '.join(options.rows)}: no row of {where} has these words; there are {names}")
    if options.params_only:
        from pipelines.papers.counts import show_counts

        show_counts(chosen, wanted, options.run.json)
        return 0
    from pipelines.papers.training import train

    return train(chosen[0], wanted[chosen[0].name], options)


def _list_experiments(as_json: bool) -> None:
    if as_json:
        print_json(
            [
                {"experiment": e.name, "source": e.source, "title": e.title, "rows": [row.name for row in e.rows]}
                for e in experiments().values()
            ]
        )
        return
    table = Table(box=None)
    for column in ("experiment", "source", "shows"):
        table.add_column(column, no_wrap=column == "experiment")
    table.add_column("rows", justify="right")
    table.add_column("on")
    for e in experiments().values():
        table.add_row(e.name, e.source, e.title, str(len(e.rows)), ", ".join(dict.fromkeys(r.dataset for r in e.rows)))
    stdout.print(table)
    stdout.print("search reproduce NAME --params-only   parameters, in seconds; --all for every experiment")
    stdout.print(
        "search reproduce NAME                 trains it; --rows, --epochs, --dataset and --backbone shrink it"
    )
