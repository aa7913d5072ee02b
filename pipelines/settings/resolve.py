"""From what the user typed to the settings of a study: given, else frozen in the study, else default."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pipelines.settings.checks import check_fit, check_plugins, check_same
from pipelines.settings.devices import find_device, find_device_name
from pipelines.settings.objectives import DEFAULT_COSTS
from pipelines.settings.options import RunOptions, TaskOptions
from pipelines.settings.study import Settings
from pipelines.terminal.console import say
from pipelines.terminal.display import decoding
from space import SearchSpace, UserError
from space.backbones import backbone, chosen, code_of
from space.choices import PRESETS
from space.normalisation import IMAGENET, Levels
from space.published import TrainedOn, find_pretrained
from space.user_code import UserCode
from trainers.data import Data
from trainers.datasets import read_data
from trainers.metrics import METRICS
from trainers.recipe import Recipe
from trainers.recipe import recipe as find_recipe
from trainers.source import FOLDER_PREFIX, Source

CROPPED = 8 / 7
"""A square that parts are cut from is so much larger than they are: 256 for 224."""


def resolve(
    task: TaskOptions,
    run: RunOptions,
    plugins: Sequence[UserCode],
    *,
    data_root: Path,
    space: str | None = None,
    objectives: tuple[str | None, tuple[str, ...] | None] | None = None,
    seed: int | None = None,
    study: str | None = None,
    frozen: Settings | None = None,
) -> tuple[Settings, Source]:
    """The settings that a command means, and where its data is.

    Args:
        task: what the user typed.
        run: where things are.
        plugins: loaded.
        data_root: folder of the torchvision data sets.
        space: preset or file, as typed.
        objectives: metric and costs, as typed.
        seed: as typed.
        study: name, as typed.
        frozen: settings of that study, if it exists.

    Raises:
        UserError: something that does not exist, does not fit together, or differs from `frozen`.
    """
    if frozen:
        assert study is not None
        check_plugins(study, frozen, plugins)
    names = _backbones(task, frozen)
    for note in dict.fromkeys(note for name in names for note in backbone(name).notes):
        say(note)
    layouts = {name: backbone(name).layout for name in names}
    weights, images = _weights(task, run, frozen, names)
    recipe, recipe_name = _recipe(task, frozen, full_dataset_name(task.dataset or "digits"), bool(weights))
    source = _source(task, run, frozen, data_root, recipe, images)
    with decoding() as on_read:
        data = read_data(source, download=task.download, check=frozen is None, on_read=on_read)
    for note in (*data.notes, *_data_notes(frozen)):
        say(note)
    check_fit(data, recipe, names, None if weights is None else Path(weights))
    if weights:
        size = " x ".join(map(str, data.shape[1:]))
        say(f"weights {weights}: every gate starts at 1; images of {size} are {_normalisation(source)}")
    if space or not frozen:
        space_name = space or PRESETS[0]
        loaded = SearchSpace.load(space_name, layouts)
        values = (loaded.starting_at_one() if weights else loaded).to_dict()
    else:
        space_name, values = frozen.space_name, frozen.space
    device = find_device(task.device, run.resources.address)
    if frozen and task.device == "auto":
        device = find_device(frozen.device, run.resources.address, study)
    metric, costs = objectives or (None, None)
    metric = metric or task.metric or (frozen.metric if frozen else METRICS[0])
    costs = costs or (frozen.objectives[1:] if frozen else DEFAULT_COSTS)
    settings = Settings(
        dataset=source.name,
        train_size=source.train_size,
        image_size=source.image_size,
        shorter_side=source.shorter_side,
        groups=None if source.groups is None else str(source.groups),
        mean=source.mean,
        std=source.std,
        data=data.digest,
        images=data.sizes(),
        num_classes=len(data.classes),
        shape=data.shape,
        backbones=names,
        weights=weights,
        files=digests(names, weights, source.groups),
        plugins={plugin.path.name: plugin.digest for plugin in plugins},
        space=values,
        recipe=recipe,
        seed=seed if seed is not None else frozen.seed if frozen else 0,
        device=device,
        device_name=frozen.device_name if frozen else find_device_name(device, run.resources.address),
        objectives=(f"val_{metric}", *costs),
        space_name=space_name,
        recipe_name=recipe_name,
    )
    if frozen:
        assert study is not None
        check_same(study, frozen, settings)
    return settings, replace(source, digest=data.digest)


def full_dataset_name(dataset: str) -> str:
    """What a data set is called in any folder, since workers may run in another one."""
    if not dataset.startswith(FOLDER_PREFIX):
        return dataset
    return f"{FOLDER_PREFIX}{Path(dataset.removeprefix(FOLDER_PREFIX)).expanduser().absolute()}"


def default_recipe(dataset: str, pretrained: bool = False) -> str:
    """The recipe for a data set unless the user names another one."""
    if pretrained:
        return "fine-tune"
    return "digits" if dataset == "digits" else "one-cycle"


def read(settings: Settings, run: RunOptions, data_root: Path, *, download: bool = False) -> tuple[Data, Source]:
    """The data of a study, and where it is.

    Raises:
        UserError: it is not there, or no longer what the study was made with.
    """
    for note in _data_notes(settings):
        say(note)
    source = settings.source(data_root, run.cache_folder, run.cache_bytes)
    with decoding() as on_read:
        return read_data(source, download=download, on_read=on_read), source


def _data_notes(frozen: Settings | None) -> tuple[str, ...]:
    """What is to be said of the data of a study that is there."""
    if frozen is None or frozen.data:
        return ()
    return ("this study is older than the digests of data: that images, labels and splits are the same is not checked",)


def _backbones(task: TaskOptions, frozen: Settings | None) -> tuple[str, ...]:
    if task.backbone is None and task.gate_at is None and not task.replace_attention and frozen:
        return frozen.backbones
    names = frozen.backbones if frozen else ("resnet20",)
    typed = names if task.backbone is None else task.backbone.split(",")
    found = (chosen(name.strip(), task.gate_at, replace_attention=task.replace_attention) for name in typed)
    return tuple(dict.fromkeys(it.name for it in found))


def _weights(
    task: TaskOptions, run: RunOptions, frozen: Settings | None, names: Sequence[str]
) -> tuple[str | None, TrainedOn | None]:
    """The file of the pretrained weights, and what images they expect."""
    text = task.weights or (frozen.weights if frozen else None)
    if text is None:
        return None, None
    if len(names) > 1:
        raise UserError("--weights are those of one network; give one --backbone")
    found = find_pretrained(text, names[0], run.cache_folder)
    return str(found.path), found.images


def _source(
    task: TaskOptions,
    run: RunOptions,
    frozen: Settings | None,
    data_root: Path,
    recipe: Recipe,
    images: TrainedOn | None,
) -> Source:
    typed = Source(
        name=full_dataset_name(task.dataset or "digits"),
        root=data_root.absolute(),
        train_size=task.train_size,
        image_size=task.image_size,
        groups=None if task.groups is None else task.groups.expanduser().absolute(),
        cache=run.cache_folder,
        cache_bytes=run.cache_bytes,
    )
    levels = _levels(task.normalise or ("weights" if images and not frozen else "measured"), images)
    if frozen:
        there = frozen.source(data_root.absolute(), run.cache_folder, run.cache_bytes)
        mean, std = levels if task.normalise else (there.mean, there.std)
        return replace(
            there,
            name=typed.name if task.dataset else there.name,
            train_size=there.train_size if typed.train_size is None else typed.train_size,
            image_size=there.image_size if typed.image_size is None else typed.image_size,
            groups=there.groups if typed.groups is None else typed.groups,
            mean=mean,
            std=std,
            digest="",  # so that what was typed otherwise is told of before the images
        )
    if images is not None and typed.image_size is None:
        shorter_side = images.shorter_side if typed.is_of_files else None
        typed = replace(typed, image_size=images.side, shorter_side=shorter_side)
    elif typed.name.startswith(FOLDER_PREFIX) and typed.image_size is not None and recipe.resized_crop:
        typed = replace(typed, shorter_side=round(typed.image_size * CROPPED))
    return replace(typed, mean=levels[0], std=levels[1])


def _levels(normalise: str, images: TrainedOn | None) -> tuple[Levels, Levels] | tuple[None, None]:
    """Mean and standard deviation to normalise with, None for those that are measured."""
    if normalise == "weights" and images is None:
        raise UserError("--normalise weights: no weights are given that say what they expect; use measured or imagenet")
    if normalise == "weights" and images is not None:
        return images.mean, images.std
    return (None, None) if normalise == "measured" else IMAGENET


def _normalisation(source: Source) -> str:
    if source.mean is None:
        return "normalised as measured on the training images; --normalise imagenet changes that"
    mean, std = (", ".join(f"{value:.3f}" for value in values or ()) for values in (source.mean, source.std))
    return f"normalised by mean {mean} and standard deviation {std}"


def _recipe(task: TaskOptions, frozen: Settings | None, dataset: str, pretrained: bool) -> tuple[Recipe, str]:
    if task.recipe is None and frozen:
        recipe, name = frozen.recipe, frozen.recipe_name
    else:
        name = task.recipe or default_recipe(dataset, pretrained)
        recipe = find_recipe(name)
    recipe = recipe if task.epochs is None else recipe.with_epochs(task.epochs)
    recipe = recipe if task.augmentation else recipe.without_augmentation()
    if task.resized_crop is not None:
        padding = 0 if task.resized_crop else recipe.crop_padding
        recipe = replace(recipe, resized_crop=task.resized_crop, crop_padding=padding)
    recipe = replace(
        recipe,
        batch_size=task.batch_size or recipe.batch_size,
        learning_rate=task.learning_rate or recipe.learning_rate,
        flip=recipe.flip if task.flip is None else task.flip,
        class_weights=recipe.class_weights or task.class_weights,
    )
    return recipe, name


def digests(names: Sequence[str], weights: str | None, groups: Path | None) -> dict[str, str]:
    """A digest of every file that is there and that, beside the images, the results depend on.

    Args:
        names: of backbones; a user's own consist of files.
        weights: file that a training begins with.
        groups: CSV of images that stay together.
    """
    found = {path: digest for code in code_of(names) for path, digest in code.digests.items()}
    files = [path for path in (None if weights is None else Path(weights), groups) if path is not None]
    for path in filter(Path.is_file, files):
        with path.open("rb") as file:
            found[str(path)] = hashlib.file_digest(file, "sha256").hexdigest()
    return found
