"""From what the user said to the settings of a study, by one rule: `meant`."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pipelines.settings.checks import check_fit, check_plugins, check_same
from pipelines.settings.deployments import deployment_settings, resolve_deployment
from pipelines.settings.devices import find_device
from pipelines.settings.meant import meant
from pipelines.settings.objectives import DEFAULT_COSTS, parse_objectives
from pipelines.settings.options.shared import RunOptions
from pipelines.settings.options.task import TaskOptions
from pipelines.settings.study import Settings, digest_of
from pipelines.terminal.console import say
from pipelines.terminal.reading import reading_bar
from space import UserError
from space.backbones import backbone, chosen, code_of
from space.backbones.names import split_names
from space.files import absolute
from space.normalisation import IMAGENET, Levels
from space.published import TrainedOn, find_pretrained
from space.space_files import PRESETS, load_space
from trainers.data import Data
from trainers.datasets import read_data
from trainers.metrics import METRICS
from trainers.recipe import Recipe
from trainers.recipe import recipe as named_recipe
from trainers.source import FOLDER_PREFIX, Source
from trainers.task import Task

DATASET = "hard-digits"
"""Unless the user names another one."""
CROPPED = 8 / 7
"""A square that parts are cut from is so much larger than they are: 256 for 224."""


def find_data_root(run: RunOptions, kept: Path | None = None) -> Path:
    """Folder of the torchvision data sets, absolute: workers may run in another one.

    Args:
        run: what was said.
        kept: folder that the study was made with, if it exists.
    """
    return absolute(run.data_root or kept or "data")


def find_recipe(said: str | None, epochs: int | None, frozen: Settings | None, default: str) -> tuple[Recipe, str]:
    """The recipe that is meant, over the epochs that were said, and the name of the one that it began as.

    Args:
        said: name, if one was said.
        epochs: if any were said.
        frozen: settings of the study, if it exists.
        default: name for a new study.

    Raises:
        UserError: there is no recipe of that name.
    """
    found = meant(None if said is None else named_recipe(said), frozen, "recipe", named_recipe(default))
    return found if epochs is None else found.with_epochs(epochs), meant(said, frozen, "recipe_name", default)


def resolve(
    task: TaskOptions,
    run: RunOptions,
    *,
    data_root: Path | None = None,
    space: str | None = None,
    seed: int | None = None,
    study: str | None = None,
    frozen: Settings | None = None,
) -> tuple[Settings, Source]:
    """The settings that a command means, and where its data is.

    Args:
        task: what the user said.
        run: where things are.
        data_root: folder of the torchvision data sets that the study was made with.
        space: preset or file, if one was said.
        seed: if one was said.
        study: name, if one was said.
        frozen: settings of that study, if it exists.

    Raises:
        UserError: something that does not exist, does not fit together, or differs from `frozen`.
    """
    if frozen:
        assert study is not None
        check_plugins(study, frozen, run.plugins)
    names = _backbones(task, frozen)
    for note in dict.fromkeys(note for name in names for note in backbone(name).notes):
        say(note)
    weights, images = _weights(task, run, frozen, names)
    recipe, recipe_name = _recipe(task, frozen, bool(weights))
    source = _source(task, run, frozen, find_data_root(run, data_root), recipe, images)
    with reading_bar() as on_read:
        data = read_data(source, download=task.download, check=frozen is None, on_read=on_read)
    for note in data.notes:
        say(note)
    check_fit(data, recipe, names, None if weights is None else Path(weights))
    if weights:
        size = " x ".join(map(str, data.shape[1:]))
        say(f"weights {weights}: every gate starts at 1; images of {size} are {_normalisation(source)}")
    space_name = meant(space, frozen, "space_name", PRESETS[0])
    if frozen and space is None:
        values = frozen.space
    else:
        loaded = load_space(space_name, {name: backbone(name).layout for name in names})
        values = (loaded.starting_at_one() if weights else loaded).to_dict()
    device = None if task.device == "auto" else task.device
    whose = study if device is None else None
    device = find_device(meant(device, frozen, "device", "auto"), run.resources.address, whose)
    metric, costs = parse_objectives(task.objectives, task.metric)
    metric = meant(metric, frozen, "metric", METRICS[0])
    costs = meant(costs, frozen, "costs", DEFAULT_COSTS)
    deployment = resolve_deployment(task, frozen, device, Task(len(data.classes), data.shape))
    settings = Settings(
        dataset=source.name,
        **source.preparation(),
        data=data.digest,
        images=data.sizes(),
        num_classes=len(data.classes),
        shape=data.shape,
        backbones=names,
        weights=weights,
        files=digests(names, weights, source.groups),
        plugins={plugin.path.name: plugin.digest for plugin in run.plugins},
        space=values,
        recipe=recipe,
        seed=meant(seed, frozen, "seed", 0),
        device=device,
        **deployment_settings(deployment, frozen, run.resources),
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
    return f"{FOLDER_PREFIX}{absolute(dataset.removeprefix(FOLDER_PREFIX))}"


def default_recipe(dataset: str, pretrained: bool = False) -> str:
    """The recipe for a data set unless the user names another one."""
    if pretrained:
        return "fine-tune"
    return dataset if dataset in ("digits", "hard-digits") else "one-cycle"


def read(settings: Settings, run: RunOptions, data_root: Path, *, download: bool = False) -> tuple[Data, Source]:
    """The data of a study, and where it is.

    Args:
        settings: of the study.
        run: where things are.
        data_root: folder of the torchvision data sets that it was made with.
        download: fetch what is missing.

    Raises:
        UserError: it is not there, or no longer what the study was made with.
    """
    source = settings.source(find_data_root(run, data_root), run.cache_folder, run.cache_bytes)
    with reading_bar() as on_read:
        return read_data(source, download=download, on_read=on_read), source


def _backbones(task: TaskOptions, frozen: Settings | None) -> tuple[str, ...]:
    said = None if task.backbone is None else split_names(task.backbone)
    names = meant(said, frozen, "backbones", ("resnet20",))
    found = (chosen(name, task.gate_at, replace_attention=task.replace_attention) for name in names)
    return tuple(dict.fromkeys(it.name for it in found))


def _weights(
    task: TaskOptions, run: RunOptions, frozen: Settings | None, names: Sequence[str]
) -> tuple[str | None, TrainedOn | None]:
    """The file of the pretrained weights, and what images they expect."""
    text = meant(task.weights, frozen, "weights", None)
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
    """The data; without its digest, so that what was said otherwise is told of before the images."""
    dataset = None if task.dataset is None else full_dataset_name(task.dataset)
    groups = None if task.groups is None else absolute(task.groups)
    levels = None if task.normalise is None else _levels(task.normalise, images)
    mean, std = meant(levels, frozen, "levels", _levels("weights" if images else "measured", images))
    source = Source(
        name=meant(dataset, frozen, "dataset", DATASET),
        root=data_root,
        train_size=meant(task.train_size, frozen, "train_size", None),
        image_size=meant(task.image_size, frozen, "image_size", None if images is None else images.side),
        groups=meant(groups, frozen, "groups", None),
        mean=mean,
        std=std,
        cache=run.cache_folder,
        cache_bytes=run.cache_bytes,
    )
    if images is not None and task.image_size is None:
        shorter_side = images.shorter_side if source.is_of_files else None
    else:
        shorter_side = cut_from(source.name, source.image_size, recipe)
    return replace(source, shorter_side=meant(None, frozen, "shorter_side", shorter_side))


def cut_from(dataset: str, image_size: int | None, recipe: Recipe) -> int | None:
    """The shorter side of the images of a folder that squares of a size that was said are cut from; None for theirs."""
    if dataset.startswith(FOLDER_PREFIX) and image_size is not None and recipe.resized_crop:
        return round(image_size * CROPPED)
    return None


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


def _recipe(task: TaskOptions, frozen: Settings | None, pretrained: bool) -> tuple[Recipe, str]:
    """The recipe with what was said instead of its own, and the name of the one that this began with."""
    default = default_recipe(full_dataset_name(task.dataset or DATASET), pretrained)
    recipe, name = find_recipe(task.recipe, task.epochs, frozen, default)
    recipe = recipe.without_augmentation() if task.no_augmentation else recipe
    if task.resized_crop is not None:
        padding = 0 if task.resized_crop else recipe.crop_padding
        recipe = replace(recipe, resized_crop=task.resized_crop, crop_padding=padding)
    recipe = replace(
        recipe,
        batch_size=recipe.batch_size if task.batch_size is None else task.batch_size,
        accumulate=task.accumulate or recipe.accumulate,
        learning_rate=task.learning_rate or recipe.learning_rate,
        mixed_precision=recipe.mixed_precision or task.mixed_precision,
        compiled=recipe.compiled or task.compile,
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
    return found | {str(path): digest_of(path) for path in files if path.is_file()}
