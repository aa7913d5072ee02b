"""`search launch`: search a space, keep the fronts, show them in MLflow."""

import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.papers.experiments import papers_designs
from pipelines.results.fronts import fronts_json
from pipelines.results.progress_lines import progress_lines
from pipelines.results.search_view import search_view
from pipelines.results.tables import print_fronts, rows_of
from pipelines.running import session
from pipelines.running.bounds import Work, with_patience
from pipelines.running.costs import check_limits, feasible, some_allowed
from pipelines.running.ground import Ground, ground_of
from pipelines.running.health import lost_designs
from pipelines.running.preflight import preflight
from pipelines.running.session import Session
from pipelines.running.terms import Terms
from pipelines.running.warm_start import Prior, check_enqueued, fitting
from pipelines.settings.checks import check_same
from pipelines.settings.config import write_config
from pipelines.settings.engines import show_engine
from pipelines.settings.fields import flag
from pipelines.settings.limits import limits_typed
from pipelines.settings.next_commands import LAUNCHED, next_commands
from pipelines.settings.objectives import objectives_named
from pipelines.settings.options.launch import LaunchOptions
from pipelines.settings.rungs import rungs_typed
from pipelines.settings.spelled_out import spelled_out
from pipelines.settings.study import Settings
from pipelines.terminal import exit_codes
from pipelines.terminal.console import print_json, say, stderr
from pipelines.terminal.formats import show_duration
from pipelines.tracking.runs import where_to_look
from search.carrying_over import carry_over
from search.engine import Engine
from search.halving import Halving, expected_share, rungs_of
from search.hypervolume import Bounds
from search.ledger import Ledger
from search.proposers import Sampled
from search.replicates import Replicates
from search.samplers import DECIDING_STEP_BY_STEP, make_sampler
from search.simulated_engine import SimulatedEngine
from search.storage import Record, Storage
from search.trials import State
from space.choices import Candidate
from space.cost import Costs, Limit, within
from space.errors import UserError


def launch(options: LaunchOptions) -> int:
    """Search until the budget is trained; returns the exit code.

    Raises:
        UserError: a mistake in the options; nothing has been written then.
    """
    run = options.run
    limits = limits_typed(options.limit, options.max_params, options.min_fps)
    make_sampler(options.sampler, 0)
    storage = Storage(run.storage)
    there = _there(storage, options.study)
    ground = ground_of(options, there)
    settings, space = ground.settings, ground.settings.search_space
    name = options.study or settings.study_name()
    record = there or _there(storage, name) or Record(name, {}, [])
    say(str(ground))

    prior, first = _what_comes_first(options, storage, ground)
    work = Work.of(options, ground, record.trials)
    engine = ground.engine(work.left)
    say(f"{show_engine(engine)} · {options.sampler} · seed {settings.seed} · study {name}")
    costs = ground.costs(limits, engine, record.attributes)
    check_limits(costs, limits)
    check_enqueued(ground.enqueued, costs, limits)
    if options.patience is not None and not within(costs[space.plain()], limits):
        raise UserError("--patience: the limits leave the plain network out, so no gain is known that could grow")
    if options.save_config is not None:
        _save(options.save_config, spelled_out(options, settings, ground.source))
    rungs = _rungs(options, settings.recipe.epochs)
    if options.dry_run:
        preflight(run, ground.evaluate, engine, storage, record)
        return _dry_run(options, name, ground, costs, limits, work, engine)

    started = time.monotonic()
    objectives = objectives_named(settings.objectives)
    attributes = record.attributes or {
        "settings": settings.to_json(),
        "uid": uuid.uuid4().hex,
        **ground.to_keep(),
        "bounds": Bounds.of(objectives, some_allowed(costs, limits)).to_json(),
    }
    with storage.writing(name, objectives.directions, attributes) as study:
        record = storage.read(name)
        founded = Settings.from_json(record.attributes["settings"])  # maybe by another launch just now
        check_same(name, founded, settings)
        settings = founded
        costs = ground.kept_costs(record.attributes, study.set_user_attr)
        bounds = Bounds.from_json(record.attributes["bounds"], objectives)
        carry_over(
            study,
            record.trials,
            prior.trials,
            prior.name,
            space=space,
            costs=feasible(costs, limits, {trial.job.candidate for trial in prior.trials} & costs.keys()),
            objectives=objectives,
            fill=options.sampler not in DECIDING_STEP_BY_STEP,
        )
        replicates = Replicates(
            share=options.confirm,
            objectives=objectives,
            images=settings.images["val"],
            seed=settings.seed,
            most=ground.most_trainings,
            rest=options.max_epochs is not None,
        )
        proposer = Sampled(space, costs, limits, options.sampler, settings.seed, objectives, replicates, first)
        ledger = Ledger(
            study,
            proposer,
            work.budget,
            Halving(bounds=bounds, rungs=rungs, reduction_factor=options.reduction_factor) if rungs else None,
            bound=with_patience(work.bounds, options, bounds, settings.images["val"]),
        )
        ledger.annotate("budget", work.budget)
        ledger.annotate(LAUNCHED, {"sampler": options.sampler, "bounds": _bounds(options)})
        ended = session.run(
            ledger,
            engine,
            ground.evaluate,
            storage.folder(name),
            search_view(
                name,
                record.attributes["uid"],
                settings,
                bounds,
                options.sampler,
                _next_commands(options, name).values(),
            ),
            storage=storage,
            terms=Terms.of(run),
            lines=lambda trials: progress_lines(trials, bounds, settings.images["val"]),
            tracked=ground.tracked,
            total=work.total,
            counts=work.counted,
        )
    seconds = time.monotonic() - started
    record = storage.read(name)
    if run.json:
        print_json(_result(record, bounds, seconds, ended, engine, ledger))
    else:
        _say_how_it_went(record, ended, seconds, engine)
        print_fronts(record)
    _say_what_next(options, name, ended, ledger)
    return ended.exit_code


def _what_comes_first(options: LaunchOptions, storage: Storage, ground: Ground) -> tuple[Prior, Sequence[Candidate]]:
    """What another search tells, and the designs that come before any that the sampler decides on."""
    prior = Prior()
    if options.from_ is not None:
        prior = Prior.of(storage.read(storage.find(options.from_)), ground.settings)
        say(f"from {prior}")
    papers = fitting(papers_designs(), ground.settings) if options.enqueue_papers else []
    if options.enqueue_papers:
        say(f"papers: {len(papers)} of their designs are in the space, and come first")
    return prior, [*ground.enqueued, *prior.designs, *papers]


def _there(storage: Storage, name: str | None) -> Record | None:
    """The study of this name, if there is one."""
    return storage.read(name) if name is not None and storage.exists(name) else None


def _rungs(options: LaunchOptions, epochs: int) -> tuple[int, ...]:
    """After which epochs halving judges; none without halving."""
    return rungs_of(rungs_typed(options.rungs), epochs) if options.halving else ()


def _save(path: Path, options: LaunchOptions) -> None:
    """Write the options for `--config`, and say so."""
    secret = write_config(path, options)
    say(f"wrote {path}: search launch --config {path}")
    for secret_flag in secret:
        say(f"{secret_flag} has a password, and was left out of {path}; type it again")


def _dry_run(
    options: LaunchOptions,
    name: str,
    ground: Ground,
    costs: Mapping[Candidate, Costs],
    limits: Sequence[Limit],
    work: Work,
    engine: Engine,
) -> int:
    settings, epochs = ground.settings, ground.settings.recipe.epochs
    seconds_each = ground.seconds_each * expected_share(_rungs(options, epochs), options.reduction_factor, epochs)
    with stderr.status(f"counting the costs of {len(costs):,} designs"):
        dict(costs[settings.search_space.plain()])  # one that cannot be found is told now
        allowed = len(feasible(costs, limits)) if limits else len(costs)
    trials = min(work.left, allowed)
    seconds = min(trials / (1 - options.confirm), work.room) * seconds_each / engine.workers
    if options.run.json:
        print_json(
            {
                "study": name,
                "designs": len(costs),
                "feasible": allowed,
                "trials": trials,
                "engine": engine.name,
                "workers": engine.workers,
                "estimated_seconds": seconds,
            }
        )
    else:
        drawn = " that were drawn" if settings.search_space.is_large else ""
        say(f"{allowed:,} of {len(costs):,} designs{drawn} meet the limits; {trials:,} trials to train")
        say(f"about {show_duration(seconds_each)} a trial, {show_duration(seconds)} in all; no study was started")
    return exit_codes.COMPLETE


def _result(
    record: Record, bounds: Bounds, seconds: float, ended: Session, engine: Engine, ledger: Ledger
) -> dict[str, Any]:
    simulated = {"simulated_seconds": engine.seconds} if isinstance(engine, SimulatedEngine) else {}
    ending = ledger.ending if ended.exit_code == exit_codes.COMPLETE else None
    return {
        "study": record.name,
        "ended_by": None if ending is None else ending.by,
        "trials": sum(trial.counts for trial in record.trials),
        "stopped": sum(trial.counts and trial.state is State.STOPPED for trial in record.trials),
        "replicates": sum(trial.trained and not trial.counts for trial in record.trials),
        "epochs_trained": sum(len(trial.history) for trial in record.trials),
        "seconds": seconds,
        "startup_seconds": ended.watch.startup_seconds,
        "overhead_seconds": ended.watch.overhead_seconds,
        **simulated,
        "hypervolume": bounds.hypervolume(record.trials),
        **fronts_json(rows_of(record), bounds.objectives),
    }


def _say_how_it_went(record: Record, ended: Session, seconds: float, engine: Engine) -> None:
    count = {state: sum(trial.state is state for trial in record.trials) for state in State}
    designs = sum(trial.counts for trial in record.trials)
    says = [f"{designs:,} designs trained"]
    if stopped := sum(trial.counts and trial.state is State.STOPPED for trial in record.trials):
        says[0] += f" ({stopped:,} of them stopped at a rung)"
    if again := sum(trial.trained for trial in record.trials) - designs:
        says[0] += f", {again:,} trainings more to confirm them"
    says[0] += f", {sum(len(trial.history) for trial in record.trials):,} epochs"
    for state, what in ((State.FAILED, "failed"), (State.DUPLICATE, "duplicates replaced")):
        if count[state]:
            says.append(f"{count[state]:,} {what}")
    says[-1] += f", in {show_duration(seconds)}"
    watch = ended.watch
    if isinstance(engine, SimulatedEngine):
        says.append(f"{show_duration(engine.seconds)} on the simulated clock")
    elif watch.trials:
        says.append(f"{watch.overhead_seconds / watch.trials:.2f} s a trial beside training")
        says.append(f"{watch.startup_seconds:.0f} s to start")
    say("; ".join(says) + ".")


def _say_what_next(options: LaunchOptions, name: str, ended: Session, ledger: Ledger) -> None:
    if ended.exit_code == exit_codes.FAILED:
        say(f"search: {ended.reason}")
    elif ended.exit_code == exit_codes.STOPPED:
        say(f"{ended.why}: {ledger.trained} of {ledger.budget} are trained.")
    else:
        ending = ledger.ending
        assert ending is not None, "it is complete"
        say(f"{ending.says}.")
        if lost := lost_designs(ledger.trials):
            how = "the same command" if ending.by == "space" else f"a larger {flag(ending.by)}"
            say(f"Not trained by the machine's fault: {', '.join(lost)}; {how} tries them again.")
        if ended.mlflow_run is not None:
            say(f" look     {where_to_look(ended.mlflow_run, options.run.tracking_uri)}")
        for what, command in _next_commands(options, name).items():
            say(f" {what:8} {command}")


def _next_commands(options: LaunchOptions, name: str) -> Mapping[str, str]:
    return next_commands(name, options.run, _bounds(options))


def _bounds(options: LaunchOptions) -> dict[str, float]:
    """On the work, those that hold."""
    said = {"budget": options.designs, "max_epochs": options.max_epochs, "gpu_hours": options.gpu_hours}
    return {bound: value for bound, value in said.items() if value is not None}
