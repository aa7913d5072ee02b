"""The options of a launch with nothing left open: those that mean the same study in any folder."""

from dataclasses import replace
from pathlib import Path

from pipelines.settings.options.launch import LaunchOptions
from pipelines.settings.options.shared import RunOptions
from pipelines.settings.options.task import TaskOptions
from pipelines.settings.resolve import cut_from
from pipelines.settings.study import Settings
from space.backbones import Name
from space.files import absolute
from space.published import FILES
from space.space_files import PRESETS
from space.user_code import full_name
from trainers.source import Source


def spelled_out(options: LaunchOptions, settings: Settings, source: Source) -> LaunchOptions:
    """The same options with what they were found to mean.

    Args:
        options: as said.
        settings: that these mean.
        source: of the data, likewise.
    """
    space = settings.space_name
    return replace(
        options,
        budget=options.designs,
        space=space if space in PRESETS else str(absolute(Path(space))),
        seed=settings.seed,
        sampler=full_name(options.sampler),
        dry_run=False,
        save_config=None,
        task=_task(options.task, settings),
        run=_run(options.run, source),
    )


def _task(said: TaskOptions, settings: Settings) -> TaskOptions:
    names, recipe = [Name.parse(name) for name in settings.backbones], settings.recipe
    (pattern, *others) = {name.pattern for name in names}
    if others:  # each beside its own name
        pattern = ""
    names = [name._replace(pattern="") if pattern else name for name in names]
    by_size = settings.shorter_side == cut_from(settings.dataset, settings.image_size, recipe)  # or by the weights
    named = said.weights is not None and not said.weights.endswith(FILES)  # fetched in any folder
    return replace(
        said,
        dataset=settings.dataset,
        train_size=settings.train_size,
        image_size=settings.image_size if by_size else None,
        groups=settings.groups,
        normalise=settings.normalisation,
        backbone=",".join(map(str, names)),
        gate_at=pattern or None,
        replace_attention=False,  # as the names say
        weights=said.weights if named else settings.weights,
        recipe=settings.recipe_name,
        epochs=recipe.epochs,
        batch_size=recipe.batch_size,
        accumulate=recipe.accumulate,
        learning_rate=recipe.learning_rate,
        mixed_precision=recipe.mixed_precision,
        compile=recipe.compiled,
        no_augmentation=not (recipe.crop_padding or recipe.resized_crop),
        resized_crop=recipe.resized_crop,
        flip=recipe.flip,
        class_weights=recipe.class_weights,
        metric=settings.metric,
        objectives=",".join([settings.metric, *settings.costs]),
        device=settings.device,
        form=settings.form,
        dtype=settings.dtype,
        device_file=settings.deployment.file,
    )


def _run(said: RunOptions, source: Source) -> RunOptions:
    return replace(
        said,
        plugin=tuple(map(absolute, said.plugin)),
        data_root=source.root,
        storage=said.storage if "://" in said.storage else str(absolute(said.storage)),
        checkpoints=said.checkpoint_place,
        cache=None if said.cache is None else absolute(said.cache),
    )
