"""Recipes: those of the papers, other numbers of epochs, and errors."""

import json

import pytest

from space.errors import UserError
from trainers.recipe import RECIPES, Recipe, recipe


@pytest.mark.parametrize(
    ("name", "epochs", "batch_size", "weight_decay", "milestones", "gamma"),
    [
        ("ras", 164, 128, 1e-4, (81, 122), 0.1),  # RAS Section 3.1
        ("ras-stl10", 164, 16, 1e-4, (81, 122), 0.1),
        ("dianet-resnet", 180, 128, 1e-4, (60, 120), 0.1),  # DIANet Table 10
        ("dianet-preresnet", 164, 128, 1e-4, (81, 122), 0.1),
        ("dianet-wrn", 200, 128, 5e-4, (80, 120, 160), 0.2),
        ("dianet-resnext", 300, 128, 5e-4, (150, 225), 0.1),
        ("dianet-imagenet", 120, 256, 1e-4, (30, 60, 90), 0.1),  # DIANet Table 11
    ],
)
def test_the_recipes_of_the_papers(
    name: str, epochs: int, batch_size: int, weight_decay: float, milestones: tuple[int, ...], gamma: float
) -> None:
    assert recipe(name) == Recipe(
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=0.1,
        momentum=0.9,
        nesterov=False,
        weight_decay=weight_decay,
        schedule="milestones",
        milestones=milestones,
        gamma=gamma,
        crop_padding=0 if name == "dianet-imagenet" else 4,
        resized_crop=name == "dianet-imagenet",
        flip=True,
        label_smoothing=0.0,
        clip_norm=None,
    )


@pytest.mark.parametrize(
    ("name", "epochs", "drops"),
    [
        ("ras", 164, (81, 122)),
        ("ras", 328, (162, 244)),
        ("ras", 82, (40, 61)),
        ("ras", 3, (1, 2)),
        ("ras", 2, (1,)),
        ("ras", 1, ()),
        ("dianet-wrn", 10, (4, 6, 8)),
        ("dianet-imagenet", 12, (3, 6, 9)),
        ("digits", 3, ()),
    ],
)
def test_milestones_move_in_proportion_to_the_epochs(name: str, epochs: int, drops: tuple[int, ...]) -> None:
    changed = recipe(name).with_epochs(epochs)
    assert changed.epochs == epochs
    assert changed.drops == drops
    same = {**changed.to_dict(), "epochs": recipe(name).epochs, "milestones_of": None}
    assert same == recipe(name).to_dict()


@pytest.mark.parametrize("name", RECIPES)
def test_over_any_number_of_epochs_the_rate_begins_as_in_the_recipe_and_falls_between_two_epochs(name: str) -> None:
    for epochs in range(1, 401):
        drops = recipe(name).with_epochs(epochs).drops
        assert list(drops) == sorted({*drops} & {*range(1, epochs)})
        for milestone in recipe(name).milestones:
            there = milestone * epochs / recipe(name).epochs
            assert any(abs(there - drop) <= 0.5 for drop in (0, *drops, epochs))


@pytest.mark.parametrize("name", RECIPES)
def test_the_number_of_epochs_may_change_several_times(name: str) -> None:
    for first, second in [(1, 164), (5, 400), (7, recipe(name).epochs), (3, 3)]:
        assert recipe(name).with_epochs(first).with_epochs(second) == recipe(name).with_epochs(second)
    assert recipe(name).with_epochs(recipe(name).epochs) == recipe(name)


@pytest.mark.parametrize("name", RECIPES)
def test_without_augmentation_images_stay_as_they_are_and_all_else_as_it_was(name: str) -> None:
    bare = recipe(name).without_augmentation().to_dict()
    assert {key for key, value in bare.items() if value != recipe(name).to_dict()[key]} <= {
        "crop_padding",
        "resized_crop",
        "flip",
    }
    assert (bare["crop_padding"], bare["resized_crop"], bare["flip"]) == (0, False, False)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_survives_json(name: str) -> None:
    assert Recipe.from_dict(json.loads(json.dumps(recipe(name).to_dict()))) == recipe(name)


@pytest.mark.parametrize("epochs", [0, -1])
def test_too_few_epochs_are_an_error(epochs: int) -> None:
    with pytest.raises(UserError, match=f"--epochs {epochs}"):
        recipe("ras").with_epochs(epochs)


@pytest.mark.parametrize("batch_size", [1, 0, -2])
def test_too_small_a_batch_is_an_error(batch_size: int) -> None:
    with pytest.raises(UserError, match=f"batch size {batch_size}"):
        Recipe(epochs=1, batch_size=batch_size)


def test_an_unknown_recipe_gets_the_list_of_known_ones() -> None:
    with pytest.raises(UserError) as raised:
        recipe("resnet")
    assert all(name in str(raised.value) for name in ("'resnet'", *RECIPES))
    assert "\n" not in str(raised.value)
