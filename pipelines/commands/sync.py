"""`search sync`: bring MLflow up to what a study knows, from the study alone."""

from datetime import datetime

from rich.progress import track

from pipelines.results.search_view import search_view
from pipelines.running.session import STATUS
from pipelines.settings.next_commands import LAUNCHED, next_commands
from pipelines.settings.objectives import objectives_of
from pipelines.settings.options.sync import SyncOptions
from pipelines.settings.study import Settings
from pipelines.terminal import exit_codes
from pipelines.terminal.console import print_json, say, stderr
from pipelines.tracking.runs import RUN_ATTRIBUTE, StudyRuns, run_ids, where_to_look
from search.hypervolume import Bounds
from search.storage import Storage
from search.trials import State
from space.errors import Stopped, UserError, first_line


def sync(options: SyncOptions) -> int:
    """Make the run of a search and those of its trials, each once, or bring them up to date; returns the exit code.

    Raises:
        UserError: there is no such search, another process is writing it, or MLflow does not answer.
    """
    storage = Storage(options.storage)
    name = storage.find(options.study)
    objectives = objectives_of(storage.read(name).attributes)
    with storage.writing(name, objectives.directions, {}) as study:
        record = storage.read(name)
        attributes, known = record.attributes, run_ids(record.attributes)
        launched = attributes.get(LAUNCHED, {"sampler": "", "bounds": {}})
        view = search_view(
            name,
            attributes["uid"],
            Settings.from_json(attributes["settings"]),
            Bounds.from_json(attributes["bounds"], objectives),
            launched["sampler"],
            next_commands(name, options, launched["bounds"]).values(),
        )

        def remember(number: int, run: str) -> None:
            if known.get(number) != run:
                with storage.answering():
                    study.set_user_attr(f"{RUN_ATTRIBUTE}{number}", run)

        in_order = sorted(record.trials, key=lambda trial: trial.finished or datetime.max)
        try:
            runs = StudyRuns(view, options.tracking_uri, remember)
            for trial in track(in_order, "trials", console=stderr, transient=True, disable=not stderr.is_terminal):
                runs.log(trial)
            runs.refresh()
            runs.close(attributes.get(STATUS, "KILLED"))
        except Stopped:
            raise
        except Exception as error:  # whatever the tracking server does
            raise UserError(f"MLflow: {type(error).__name__}: {first_line(error)}; the same command goes on") from None
    logged = sum(trial.state not in (State.DUPLICATE, State.INFEASIBLE) for trial in record.trials)
    if options.json:
        print_json({"study": name, "runs": logged, "mlflow_run_id": runs.parent})
    else:
        say(f"MLflow has {name} with {logged:,} trials.")
        say(f" look     {where_to_look(runs.parent, options.tracking_uri)}")
    return exit_codes.COMPLETE
