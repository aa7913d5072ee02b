"""`search launch`: search a space, keep the fronts, show them in MLflow."""

import functools
import json
import re
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines import plots, session
from pipelines.console import print_json, say, stderr
from pipelines.costs import FPS_TABLE, costs_of, limits_of, trial_seconds
from pipelines.engines import make_engine
from pipelines.front import print_fronts
from pipelines.fronts import FRONTS, front, fronts_json, rows
from pipelines.options import RunOptions, TaskOptions
from pipelines.provenance import provenance
from pipelines.quantities import show_duration, show_gain, show_percent
from pipelines.resolve import resolve
from pipelines.session import Session
from pipelines.settings import Settings
from pipelines.tracking import EXPERIMENT, View, run_ids
from search.bounds import Bounds
from search.engine import Engine
from search.ledger import Ledger
from search.proposers import Sampled
from search.samplers import make_sampler
from search.storage import DEFAULT_FOLDER, Record, Storage
from search.trials import State, Trial
from space import UserError
from space.choices import Candidate
from space.plugins import Plugin, call_with, load_plugins
from trainers.evaluator import Evaluator
from trainers.throughput import FpsTable, measure_table


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the user typed behind `search launch`; None where nothing was.

    Attributes:
        run: where.
        task: what is trained on what.
        budget: designs to train.
        space: preset or file.
        sampler: name or class.
        seed: of the search and its trainings.
        study: name.
        max_params: limit, such as 1.5M.
        min_fps: limit, such as 5k.
        dry_run: write nothing.
    """

    run: RunOptions
    task: TaskOptions
    budget: int
    space: str | None = None
    sampler: str = "tpe"
    seed: int | None = None
    study: str | None = None
    max_params: str | None = None
    min_fps: str | None = None
    dry_run: bool = False


def launch(options: Options) -> int:
    """Search until the budget is trained; returns the exit code.

    Raises:
        UserError: a mistake in the options; nothing has been written then.
    """
    if options.budget < 1:
        raise UserError(f"--budget {options.budget}: at least one trial is needed")
    run, time_limit = options.run, options.run.seconds
    plugins = load_plugins(run.plugins)
    make_sampler(options.sampler, 0)
    if options.study is not None and not re.fullmatch(r"\w[\w.-]*", options.study):
        raise UserError(f"--study {options.study!r}: letters, digits, dots, dashes and underscores make a name")
    storage = Storage(run.storage)
    frozen, data_root = None, run.data_root
    if options.study is not None and storage.exists(options.study):
        there = storage.read(options.study).attributes
        frozen, data_root = Settings.from_json(there["settings"]), data_root or Path(there["data_root"])
    settings, source = resolve(
        options.task,
        run,
        plugins,
        data_root=data_root or Path("data"),
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
    table = _fps_table(record, engine, candidates, settings, plugins) if needs_fps else None
    with stderr.status(f"counting parameters and MACs of {len(candidates):,} designs"):
        costs = costs_of(candidates, settings.task, table)
    limits = limits_of(options.max_params, options.min_fps, costs)
    feasible = [cost for cost in costs.values() if limits.allow(cost)]
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
        settings = Settings.from_json(record.attributes["settings"])  # as founded, maybe by another launch just now
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
            plugins=plugins,
        )
        ended = session.run(
            ledger,
            engine,
            evaluate,
            storage.folder(name),
            _view(name, record.attributes["uid"], settings, bounds, options.sampler),
            tracking_uri=run.tracking_uri,
            lines=lambda trials: _lines(trials, bounds),
            time_limit=time_limit,
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
    options: Options, name: str, designs: int, feasible: int, left: int, engine: Engine, seconds_each: float
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
    return session.COMPLETE


def _view(name: str, uid: str, settings: Settings, bounds: Bounds, sampler: str) -> View:
    """What MLflow shows of a search."""
    table = settings.to_json()
    recipe = {f"recipe.{key}": value for key, value in table.pop("recipe").items()}
    space = {f"space.{attention}": options for attention, options in table.pop("space").items()}

    def metrics(trials: Sequence[Trial]) -> dict[str, float]:
        complete = rows(trials, {}, bounds.metric)
        sizes = {f"front_{front_name}": float(len(front(complete, front_name))) for front_name in FRONTS}
        return {"hypervolume": bounds.hypervolume(trials), **sizes}

    def trial_tags(trials: Sequence[Trial]) -> dict[int, dict[str, str]]:
        complete = rows(trials, {}, bounds.metric)
        there = {name: {row.trial for row in front(complete, name)} for name in FRONTS}
        numbers = [trial.number for trial in trials]
        return {n: {f"on_front_{name}": str(n in there[name]).lower() for name in FRONTS} for n in numbers}

    def write_artifacts(trials: Sequence[Trial], runs: Mapping[int, str], folder: Path) -> None:
        complete = rows(trials, runs, bounds.metric)
        fronts = folder / "fronts"
        fronts.mkdir()
        (fronts / "front.json").write_text(json.dumps(fronts_json(complete), indent=2))
        if complete:
            for front_name in FRONTS:
                title = f"{settings.dataset}, {', '.join(settings.backbones)}: {len(complete)} designs"
                plots.write_html(complete, front_name, title, fronts / f"{front_name}.html")
                plots.write_png(complete, [front_name], title, fronts / f"{front_name}.png")

    return View(
        name=name,
        uid=uid,
        params={**table, **recipe, **space},
        tags={"kind": "search", "study": name, "sampler": sampler, **provenance()},
        trial_name=lambda trial: f"{trial.number} {trial.job.design}",
        metrics=metrics,
        trial_tags=trial_tags,
        write_artifacts=write_artifacts,
    )


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


def lost_designs(trials: Sequence[Trial]) -> list[str]:
    """The designs that failed by no fault of their own, and have not been trained or to blame since."""
    latest = {trial.job.candidate: trial for trial in trials if trial.trained or trial.failure is not None}
    lost = [trial for trial in latest.values() if trial.failure is not None and not trial.failure.own]
    return [f"{trial.job.backbone} {trial.job.design}" for trial in lost]


def _say_what_next(options: Options, name: str, ended: Session, ledger: Ledger) -> None:
    if ended.exit_code == session.FAILED:
        say(f"search: {ended.reason}")
    elif ended.exit_code == session.STOPPED:
        say(f"{ended.reason}; the same command goes on: {ledger.trained} of {ledger.budget} are trained.")
    else:
        if ledger.trained < ledger.budget:
            say("Every design within the limits has been tried.")
        if lost := lost_designs(ledger.trials):
            how = "the same command" if ledger.trained < ledger.budget else "a larger --budget"
            say(f"Not trained by the machine's fault: {', '.join(lost)}; {how} tries them again.")
        where = "" if options.run.storage == DEFAULT_FOLDER else f" --storage {options.run.storage}"
        server = "" if options.run.tracking_uri is None else f" --backend-store-uri {options.run.tracking_uri}"
        say(f" look     mlflow ui{server}        experiment {EXPERIMENT}, run {name}, artifacts/fronts")
        say(f" retrain  search retrain {name} --top 3 --seeds 5{where}")
        say(f" more     search launch --study {name} --budget {2 * options.budget}{where}")
