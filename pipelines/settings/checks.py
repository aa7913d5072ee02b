"""What must hold before anything is trained: data, networks and weights fit, and a study goes on as it was made."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import torch

from pipelines.settings.study import Settings
from space import Design, UserError
from space.backbones import backbone
from space.build import build
from space.errors import first_line
from space.meta import zeroed
from space.state import read_state
from space.user_code import UserCode
from trainers.data import Data
from trainers.recipe import Recipe


def check_fit(data: Data, recipe: Recipe, backbones: tuple[str, ...], weights: Path | None = None) -> None:
    """Make sure that this data can be trained on by this recipe with these backbones, from these weights.

    Raises:
        UserError: too few images, images that a network does not take, or weights that do not fit.
    """
    size = len(data.train.labels)
    if size < 2:
        raise UserError(f"{data.name} has {size} image to train on; batch normalisation needs 2, take more")
    if recipe.batch_size > size:
        raise UserError(
            f"a batch of {recipe.batch_size} is larger than the {size} training images of {data.name}; "
            "--batch-size makes it smaller"
        )
    check_images(data.shape, backbones)
    if weights is not None:
        build(Design(), backbone(backbones[0]), len(data.classes), data.shape[0], read_state(weights))


def check_images(shape: tuple[int, int, int], backbones: Iterable[str]) -> None:
    """Make sure that the networks take images of this shape.

    Raises:
        UserError: images smaller than a network's stride, or that it raises with.
    """
    side = min(shape[1:])
    for name in backbones:
        network = backbone(name)
        if side < network.stride:
            raise UserError(f"images are {side} pixels wide; {name} needs at least {network.stride}")
        skeleton = zeroed(network.skeleton(shape[0], 2)).eval()
        device = next((parameter.device for parameter in skeleton.parameters()), torch.device("cpu"))
        try:
            with torch.inference_mode():
                skeleton(torch.zeros(2, *shape, device=device))
        except Exception as error:  # whatever a user's network does with an image of another size
            says = first_line(error) or type(error).__name__
            raise UserError(f"{name} takes no images of {' x '.join(map(str, shape))}: {says}") from None


def check_same(study: str, frozen: Settings, asked: Settings) -> None:
    """Make sure that a study goes on with the settings it was made with.

    Raises:
        UserError: naming the difference.
    """
    for name, flag, show in (
        ("dataset", "--dataset", str),
        ("train_size", "--train-size", str),
        ("image_size", "--image-size", str),
        ("groups", "--groups", str),
        ("mean", "--normalise", lambda value: frozen.normalisation),
        ("std", "--normalise", lambda value: frozen.normalisation),
        ("metric", "--metric", str),
        ("objectives", "--objectives", lambda value: ",".join([frozen.metric, *value[1:]])),
        ("weights", "--weights", str),
        ("backbones", "--backbone", ",".join),
        ("space", "--space", lambda value: frozen.space_name),
        ("seed", "--seed", str),
        ("device", "--device", str),
        ("form", "--form", str),
        ("dtype", "--dtype", str),
        ("device_file", "--device-file", str),
        ("images", "images", lambda value: " / ".join(f"{n} {split}" for split, n in value.items())),
    ):
        if getattr(frozen, name) != getattr(asked, name):
            raise UserError(_differs(study, f"{flag} {show(getattr(frozen, name))}"))
    if frozen.device_digest != asked.device_digest:
        raise UserError(_changed(study, str(frozen.device_file)))
    if frozen.table != asked.table:
        made = "another content of its table" if frozen.table else "trained networks, without --table"
        raise UserError(f"study {study} was made with {made}; start another study")
    if frozen.data != asked.data:
        raise UserError(
            f"study {study} was made with other images, labels or splits in {frozen.dataset}; "
            "put those back, or start another study"
        )
    for file in sorted(frozen.files.keys() | asked.files.keys()):
        if asked.files.get(file) != frozen.files.get(file):
            raise UserError(_changed(study, file))
    if frozen.recipe != asked.recipe:
        made = f"--recipe {frozen.recipe_name}"
        if frozen.recipe == asked.recipe.with_epochs(frozen.recipe.epochs):
            made = f"--epochs {frozen.recipe.epochs}"
        elif frozen.recipe == asked.recipe.without_augmentation():
            made = "--no-augmentation"
        elif asked.recipe == frozen.recipe.without_augmentation():
            made = "augmentation"
        elif frozen.recipe == replace(asked.recipe, batch_size=frozen.recipe.batch_size):
            made = f"--batch-size {frozen.recipe.batch_size}"
        raise UserError(_differs(study, made))


def check_plugins(study: str, frozen: Settings, plugins: Iterable[UserCode]) -> None:
    """Make sure that a study goes on with the plug-ins it was made with.

    Raises:
        UserError: naming the one that is missing, too many, or changed.
    """
    asked = {plugin.path.name: plugin for plugin in plugins}
    for name in sorted(frozen.plugins.keys() | asked.keys()):
        if name not in asked:
            raise UserError(f"study {study} was made with --plugin {name}; give it again")
        if name not in frozen.plugins:
            raise UserError(f"study {study} was made without --plugin {name}; leave it out, or start another study")
        if asked[name].digest != frozen.plugins[name]:
            raise UserError(_changed(study, name + " or of what it imports" * (len(asked[name].files) > 1)))


def _changed(study: str, file: str) -> str:
    return f"study {study} was made with another content of {file}; put that back, or start another study"


def _differs(study: str, made: str) -> str:
    return (
        f"study {study} was made with {made}; a study keeps its settings: leave that flag out, or start another study "
        f"(--from {study} tells it what is known)"
    )
