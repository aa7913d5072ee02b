"""How the trainings of a study are made, and about how long one takes."""

from collections.abc import Mapping

import torch
from torch import nn

from pipelines.running.plan import Plan
from pipelines.settings.engines import make_engine, show_engine
from pipelines.settings.options.shared import Resources, RunOptions
from pipelines.settings.study import Settings
from pipelines.terminal.console import say
from search.engine import Engine
from search.storage import Storage
from space.backbones import code_of
from trainers.estimate import estimate_training_seconds
from trainers.evaluator import Evaluator
from trainers.recipe import Recipe
from trainers.share import Share
from trainers.source import Source
from trainers.task import Task


def evaluator_of(settings: Settings, source: Source, run: RunOptions) -> Evaluator:
    """Makes the trainings of a study, judged on the validation images after each epoch."""
    return Evaluator(
        source=source,
        recipe=settings.recipe,
        device=settings.device,
        threads=run.resources.cpus_per_trial,
        processes=processes_of(run.resources, settings.device, settings.recipe),
        weights=settings.weights_file,
        code=(*run.plugins, *code_of(settings.backbones)),
    )


def processes_of(resources: Resources, device: str, recipe: Recipe) -> int:
    """That a training is spread over: as many as it has GPUs.

    Raises:
        UserError: its batches do not part over them.
    """
    processes = max(1, int(resources.gpus(device)))
    Share(world=processes).batch(recipe.batch_size)
    return processes


def training_seconds(network: nn.Module, task: Task, recipe: Recipe, images: Mapping[str, int], device: str) -> float:
    """About how long a network trains on one worker."""
    here = device if torch.cuda.is_available() else "cpu"  # a cluster's GPUs are not here
    return estimate_training_seconds(network, task, recipe, images, here)


def engine_of(plan: Plan, settings: Settings, storage: Storage, run: RunOptions) -> Engine:
    """The engine for what is left of a plan on a study's data; what is to be trained is said."""
    engine = make_engine(run.resources, settings.device, plan.left(storage), plain_seconds(settings))
    say(
        f"{settings.describe_data()} · {settings.backbones[0]} · {len(plan.candidates):,} designs x {plan.seeds} seeds"
        f" · {settings.recipe.epochs} epochs · {show_engine(engine)} · {plan.name}"
    )
    return engine


def plain_seconds(settings: Settings, recipe: Recipe | None = None, images: Mapping[str, int] | None = None) -> float:
    """About how long the plain backbone of a study trains on a worker, by its own recipe on its images unless told."""
    recipe, images = recipe or settings.recipe, images or settings.images
    return training_seconds(settings.plain_network(), settings.task, recipe, images, settings.device)
