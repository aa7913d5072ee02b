"""From what the user typed to the settings of a study: given, else frozen in the study, else default."""

from dataclasses import dataclass
from pathlib import Path

from pipelines.engines import find_device
from pipelines.options import RunOptions
from pipelines.settings import Settings, check_fit, check_same
from space import SearchSpace
from space.backbones import backbone
from trainers.datasets import FOLDER_PREFIX, Source, load
from trainers.recipe import Recipe
from trainers.recipe import recipe as find_recipe
from trainers.throughput import device_name


@dataclass(frozen=True, kw_only=True)
class Options(RunOptions):
    """What the user typed behind `search launch`; None where nothing was."""

    budget: int
    dataset: str | None = None
    download: bool = False
    train_size: int | None = None
    backbone: str | None = None
    space: str | None = None
    sampler: str = "tpe"
    device: str = "auto"
    epochs: int | None = None
    recipe: str | None = None
    augmentation: bool = True
    seed: int | None = None
    study: str | None = None
    max_params: str | None = None
    min_fps: str | None = None
    dry_run: bool = False


def resolve(options: Options, frozen: Settings | None, data_root: Path) -> tuple[Settings, Source]:
    """The settings that a launch means, and where its data is.

    Args:
        options: what the user typed.
        frozen: settings of the study that the user named, if it exists.
        data_root: folder of the torchvision data sets.

    Raises:
        UserError: something that does not exist, does not fit together, or differs from `frozen`.
    """
    dataset = full_dataset_name(options.dataset or (frozen.dataset if frozen else "digits"))
    train_size = options.train_size if options.train_size is not None else frozen.train_size if frozen else None
    names = options.backbone.split(",") if options.backbone else list(frozen.backbones) if frozen else ["resnet20"]
    layouts = {backbone(name).name: backbone(name).layout for name in names}
    if options.space or not frozen:
        space_name = options.space or "small"
        space = SearchSpace.load(space_name, layouts).to_dict()
    else:
        space_name, space = frozen.space_name, frozen.space
    recipe, recipe_name = _recipe(options, frozen, dataset)
    device = find_device(options.device, options.resources.address)
    if frozen and options.device == "auto":
        device = find_device(frozen.device, options.resources.address)
    source = Source(name=dataset, root=data_root.absolute(), train_size=train_size)
    data = load(source, download=options.download, check=frozen is None)
    check_fit(data, recipe, tuple(layouts))
    settings = Settings(
        dataset=dataset,
        train_size=train_size,
        images=data.sizes(),
        num_classes=len(data.classes),
        shape=data.shape,
        backbones=tuple(layouts),
        space=space,
        recipe=recipe,
        seed=options.seed if options.seed is not None else frozen.seed if frozen else 0,
        device=device,
        device_name=frozen.device_name if frozen else device_name(device),
        space_name=space_name,
        recipe_name=recipe_name,
    )
    if frozen:
        assert options.study is not None
        check_same(options.study, frozen, settings)
    return settings, source


def full_dataset_name(dataset: str) -> str:
    """What a data set is called in any folder, since workers may run in another one."""
    if not dataset.startswith(FOLDER_PREFIX):
        return dataset
    return f"{FOLDER_PREFIX}{Path(dataset.removeprefix(FOLDER_PREFIX)).expanduser().absolute()}"


def default_recipe(dataset: str) -> str:
    """The recipe for a data set unless the user names another one."""
    return "digits" if dataset == "digits" else "one-cycle"


def _recipe(options: Options, frozen: Settings | None, dataset: str) -> tuple[Recipe, str]:
    if options.recipe is None and frozen:
        recipe, name = frozen.recipe, frozen.recipe_name
    else:
        name = options.recipe or default_recipe(dataset)
        recipe = find_recipe(name)
    recipe = recipe if options.epochs is None else recipe.with_epochs(options.epochs)
    return (recipe if options.augmentation else recipe.without_augmentation()), name
