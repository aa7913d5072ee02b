"""`search launch`: search a space, keep the fronts, show them in MLflow."""

import functools
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipelines.results.fronts import FRONTS, front, fronts_json, rows
from pipelines.results.search_view import search_view
from pipelines.results.tables import print_fronts
from pipelines.running import session
from pipelines.running.costs import FPS_TABLE, costs_of, limits_of, trial_seconds
from pipelines.running.health import lost_designs
from pipelines.running.session import Session
from pipelines.settings.checks import check_same
from pipelines.settings.config import write_config
from pipelines.settings.devices import make_engine
from pipelines.settings.options.commands import LaunchOptions
from pipelines.settings.resolve import resolve
from pipelines.settings.spelled_out import spelled_out
from pipelines.settings.study import Settings
from pipelines.terminal import exit_codes
from pipelines.terminal.console import print_json, say, stderr
from pipelines.terminal.formats import show_duration, show_gain, show_percent
from pipelines.terminal.secrets import hidden
from pipelines.tracking.runs import run_ids, where_to_look
from search.bounds import Bounds
from search.engine import Engine
from search.ledger import Ledger
from search.proposers import Sampled
from search.samplers import make_sampler
from search.storage import DEFAULT_FOLDER, Record, Storage
from search.trials import State, Trial
from space.choices import Candidate
from space.plugins import Plugin, call_with
from trainers.evaluator import Evaluator
from trainers.throughput import FpsTable, measure_table


def launch(options: LaunchOptions) -> int:
    """Search until the budget is trained; returns the exit code.

    Raises:
        UserError: a mistake in the options; nothing has been written then.
    """
    run = options.run
    make_sampler(options.sampler, 0)
    storage = Storage(run.storage)
    frozen, data_root = None, None
    if options.study is not None and storage.exists(options.study):
        there = storage.read(options.study).attributes
        frozen, data_root = Settings.from_json(there["settings"]), Path(there["data_root"])
    settings, source = resolve(
        options.task,
        run,
        data_root=data_root,
        space=options.space,
        seed=options.seed,
        study=options.study,
        frozen=frozen,
    )
    name = options.study or settings.study_name()
    record = storage.read(name) if storage.exists(name) else Record(name, {}, [])
    say(_describe(settings))

    left = max(0, options.budget - sum(trial.trained for trial in record.trials))
    seconds_each = trial_seconds(
        settings.plain_network(), settings.task, settings.recipe, settings.images, settings.device
    )
    engine = make_engine(run.resources, settings.device, left, seconds_each)
    say(
        f"{engine.name} · {engine.workers} worker{'s' if engine.workers > 1 else ''} · {options.sampler}"
        f" · seed {settings.seed} · study {name}"
    )
    candidates = list(dict.fromkeys([settings.search_space.plain(), *settings.search_space.enumerate()]))
    needs_fps = not options.dry_run or options.min_fps is not None
    table = _fps_table(record, engine, candidates, settings, run.plugins) if needs_fps else None
    with stderr.status(f"counting parameters and MACs of {len(candidates):,} designs"):
        costs = costs_of(candidates, settings.task, table)
    limits = limits_of(options.max_params, options.min_fps, costs)
    feasible = [cost for cost in costs.values() if limits.allow(cost)]
    if options.save_config is not None:
        _save(options.save_config, spelled_out(options, settings, source))
    if options.dry_run or table is None:
        return _dry_run(options, name, len(costs), len(feasible), left, engine, seconds_each)

    started = time.monotonic()
    attributes = {
        "settings": settings.to_json(),
        "uid": uuid.uuid4().hex,
        "data_root": str(source.root),
        FPS_TABLE: table.to_json(),
        "bounds": Bounds.of(settings.num_classes, feasible, settings.objectives[0]).to_json(),
    }
    with storage.writing(name, Sampled.DIRECTIONS, attributes) as study:
        record = storage.read(name)
        founded = Settings.from_json(record.attributes["settings"])  # maybe by another launch just now
        check_same(name, founded, settings)
        settings = founded
        costs = costs_of(costs, settings.task, FpsTable.from_json(record.attributes[FPS_TABLE]))
        bounds = Bounds.from_json(record.attributes["bounds"])
        proposer = Sampled(settings.search_space, costs, limits, options.sampler, settings.seed, settings.objectives[0])
        ledger = Ledger(study, proposer, options.budget)
        ledger.annotate("budget", options.budget)
        evaluate = Evaluator(
            source=source,
            recipe=settings.recipe,
            device=settings.device,
            threads=run.resources.cpus_per_trial,
            weights=settings.weights_file,
            plugins=run.plugins,
        )
        commands = _next_commands(options, name)
        ended = session.run(
            ledger,
            engine,
            evaluate,
            storage.folder(name),
            search_view(name, record.attributes["uid"], settings, bounds, options.sampler, commands.values()),
            storage=storage,
            tracking_uri=run.tracking_uri,
            lines=lambda trials: _lines(trials, bounds),
            time_limit=run.seconds,
        )
    seconds = time.monotonic() - started
    record = storage.read(name)
    if run.json:
        print_json(_result(record, bounds, seconds, ended))
    else:
        _say_how_it_went(record, ended, seconds)
        print_fronts(record)
    _say_what_next(options, name, ended, ledger)
    return ended.exit_code


def _describe(settings: Settings) -> str:
    count = sum(1 for _ in settings.search_space.enumerate())
    return (
        f"{settings.describe_data()} · {', '.join(settings.backbones)} · {settings.recipe.epochs} epochs"
        f" · {settings.space_name} space: {count:,} designs"
    )


def _save(path: Path, options: LaunchOptions) -> None:
    """Write the options for `--config`, and say so."""
    secret = write_config(path, options)
    say(f"wrote {path}: search launch --config {path}")
    for flag in secret:
        say(f"{flag} has a password, and was left out of {path}; type it again")


def _fps_table(
    record: Record, engine: Engine, candidates: Sequence[Candidate], settings: Settings, plugins: tuple[Plugin, ...]
) -> FpsTable:
    """The study's own table, else a new one."""
    if FPS_TABLE in record.attributes:
        return FpsTable.from_json(record.attributes[FPS_TABLE])
    started = time.monotonic()
    with stderr.status(f"measuring FPS on {settings.device_name}"):
        measure = functools.partial(measure_table, candidates, settings.task, settings.device)
        table = engine.alone(functools.partial(call_with, plugins, measure))
    conditions = table.conditions
    say(
        f"cost table: {len(table.gates)} gates on {conditions.device}, batch {conditions.batch}, {conditions.dtype}, "
        f"{conditions.threads} thread, in {show_duration(time.monotonic() - started)}"
    )
    return table


def _dry_run(
    options: LaunchOptions, name: str, designs: int, feasible: int, left: int, engine: Engine, seconds_each: float
) -> int:
    trials = min(left, feasible)
    seconds = trials * seconds_each / engine.workers
    if options.run.json:
        print_json(
            {
                "study": name,
                "designs": designs,
                "feasible": feasible,
                "trials": trials,
                "engine": engine.name,
                "workers": engine.workers,
                "estimated_seconds": seconds,
            }
        )
    else:
        say(f"{feasible:,} of {designs:,} designs meet the limits; {trials:,} trials to train")
        say(f"about {show_duration(seconds_each)} a trial, {show_duration(seconds)} in all; nothing was written")
    return exit_codes.COMPLETE


def _lines(trials: Sequence[Trial], bounds: Bounds) -> list[tuple[str, str]]:
    """What the terminal says below the bar."""
    complete = rows(trials, {}, bounds.metric)
    sizes = "   ".join(f"{name} {len(front(complete, name))} designs" for name in FRONTS)
    lines = [("front", f"{sizes}   hypervolume {bounds.hypervolume(trials):.3f}")]
    if complete:
        best = front(complete, "params")[0]
        gain = "" if best.gain is None else f"   {show_gain(best.gain)} on plain"
        lines.append(("best", f"{show_percent(best.score)}{gain}   {best.design}   {best.num_params:,} parameters"))
    last = max(trials, key=lambda trial: trial.finished or trial.started)
    result = show_percent(last.last[bounds.metric]) if last.state is State.COMPLETE else last.state.value
    lines.append(("last", f"{result}   {last.job.design}   {last.job.cost.num_params:,} parameters"))
    return lines


def _result(record: Record, bounds: Bounds, seconds: float, ended: Session) -> dict[str, Any]:
    return {
        "study": record.name,
        "trials": sum(trial.trained for trial in record.trials),
        "epochs_trained": sum(len(trial.history) for trial in record.trials),
        "seconds": seconds,
        "startup_seconds": ended.watch.startup_seconds,
        "overhead_seconds": ended.watch.overhead_seconds,
        "hypervolume": bounds.hypervolume(record.trials),
        **fronts_json(rows(record.trials, run_ids(record.attributes), bounds.metric)),
    }


def _say_how_it_went(record: Record, ended: Session, seconds: float) -> None:
    count = {state: sum(trial.state is state for trial in record.trials) for state in State}
    says = [f"{count[State.COMPLETE] + count[State.STOPPED]:,} designs trained"]
    for state, what in ((State.FAILED, "failed"), (State.DUPLICATE, "duplicates replaced")):
        if count[state]:
            says.append(f"{count[state]:,} {what}")
    says[-1] += f", in {show_duration(seconds)}"
    watch = ended.watch
    if watch.trials:
        says.append(f"{watch.overhead_seconds / watch.trials:.2f} s a trial beside training")
        says.append(f"{watch.startup_seconds:.0f} s to start")
    say("; ".join(says) + ".")


def _say_what_next(options: LaunchOptions, name: str, ended: Session, ledger: Ledger) -> None:
    if ended.exit_code == exit_codes.FAILED:
        say(f"search: {ended.reason}")
    elif ended.exit_code == exit_codes.STOPPED:
        say(f"{ended.reason}; the same command goes on: {ledger.trained} of {ledger.budget} are trained.")
    else:
        if ledger.trained < ledger.budget:
            say("Every design within the limits has been tried.")
        if lost := lost_designs(ledger.trials):
            how = "the same command" if ledger.trained < ledger.budget else "a larger --budget"
            say(f"Not trained by the machine's fault: {', '.join(lost)}; {how} tries them again.")
        if ended.mlflow_run is not None:
            say(f" look     {where_to_look(ended.mlflow_run, options.run.tracking_uri)}")
        for what, command in _next_commands(options, name).items():
            say(f" {what:8} {command}")


def _next_commands(options: LaunchOptions, name: str) -> dict[str, str]:
    where = "" if options.run.storage == DEFAULT_FOLDER else f" --storage {hidden(options.run.storage)}"
    return {
        "retrain": f"search retrain {name} --top 3 --seeds 5{where}",
        "more": f"search launch --study {name} --budget {2 * options.budget}{where}",
    }
