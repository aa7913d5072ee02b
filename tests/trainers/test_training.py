"""Training: the same numbers however often interrupted, SGD and its schedules by hand, and what is judged when."""

import copy
import io
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn

from space.backbones import backbone
from space.build import build, pretrained_parameters
from space.design import Design
from space.errors import UserError
from trainers.data import Data
from trainers.images import FileImages, Images, TensorImages
from trainers.recipe import RECIPES, Recipe
from trainers.schedules import steps_per_epoch
from trainers.spread import Spread
from trainers.training import Judge, Training

CPU = torch.device("cpu")
SCHEDULES = {
    "one-cycle": Recipe(epochs=4, batch_size=8, schedule="one-cycle", crop_padding=1, nesterov=True),
    "cosine": Recipe(epochs=4, batch_size=8, schedule="cosine", crop_padding=1, label_smoothing=0.1),
    "milestones": Recipe(epochs=4, batch_size=8, milestones=(1, 3), gamma=0.5, clip_norm=0.5),
    "averaged": Recipe(epochs=4, batch_size=8, schedule="constant", averaging=0.8),
    "mixed precision": Recipe(epochs=4, batch_size=8, schedule="cosine", mixed_precision=True, channels_last=False),
}
EACH_SCHEDULE = pytest.mark.parametrize("recipe", SCHEDULES.values(), ids=SCHEDULES)
PLAIN = Recipe(epochs=3, batch_size=8, crop_padding=0, flip=False, channels_last=False, momentum=0.0, weight_decay=0.0)


def images(count: int, seed: int = 0, classes: int = 3) -> TensorImages:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(256, (count, 3, 6, 6), dtype=torch.uint8, generator=generator)
    return TensorImages(pixels, torch.arange(count) % classes)


def data(train: int = 20, val: int = 7, test: int = 5) -> Data:
    return Data(
        name="noise",
        classes=("a", "b", "c"),
        shape=(3, 6, 6),
        mean=(0.5, 0.4, 0.6),
        std=(0.25, 0.3, 0.2),
        train=images(train, 1),
        val=images(val, 2),
        test=images(test, 3),
    )


def network(seed: int = 0) -> nn.Module:
    """Convolution, BN, dropout and a classifier: all that is random or has a state in a training."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(8, 3),
        )


def without_bn() -> nn.Module:
    """A network in which nothing looks from one image at another."""
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        layers = nn.Conv2d(3, 4, 3), nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
        return nn.Sequential(*layers)


def training(recipe: Recipe, seed: int = 5, using: Data | None = None, **options: Any) -> Training:
    return Training(network(seed), using or data(), recipe, seed, CPU, **options)


def finished(it: Training | Spread) -> list[dict[str, float]]:
    """The reports of all epochs that are left, without their durations."""
    reports = []
    while not it.done:
        report = it.step()
        assert report.pop("seconds") >= 0
        reports.append(report)
    return reports


def weights(it: Training) -> dict[str, Tensor]:
    saved: dict[str, Tensor] = copy.deepcopy(it.state_dict()["network"])
    return saved


def rate(it: Training, name: str = "lr") -> float:
    return float(it.state_dict()["optimizer"]["param_groups"][0][name])


def through_a_file(state: dict[str, Any]) -> dict[str, Any]:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    loaded: dict[str, Any] = torch.load(buffer, weights_only=True)
    return loaded


@EACH_SCHEDULE
@pytest.mark.parametrize("after", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("keep", [copy.deepcopy, through_a_file], ids=["in memory", "in a file"])
def test_interrupted_and_resumed_is_bit_for_bit_the_same(
    recipe: Recipe, after: int, keep: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    through = training(recipe)
    expected = finished(through)

    first = training(recipe)
    for _ in range(after):
        first.step()
    resumed = Training(network(seed=99), data(), recipe, 5, CPU)
    resumed.load_state_dict(keep(first.state_dict()))

    assert finished(resumed) == expected[after:]
    torch.testing.assert_close(weights(resumed), weights(through), rtol=0, atol=0)


def test_an_interruption_after_every_epoch_changes_nothing() -> None:
    recipe = SCHEDULES["one-cycle"]
    current, reports = training(recipe), []
    while not current.done:
        reports.append({name: value for name, value in current.step().items() if name != "seconds"})
        state = through_a_file(current.state_dict())
        current = training(recipe)
        current.load_state_dict(state)

    assert reports == finished(training(recipe))


@EACH_SCHEDULE
def test_two_trainings_in_turns_are_the_same_as_one_after_the_other(recipe: Recipe) -> None:
    alone = [finished(training(recipe, seed)) for seed in (1, 2)]
    both = [training(recipe, seed) for seed in (1, 2)]
    in_turns: list[list[dict[str, float]]] = [[], []]
    for _ in range(recipe.epochs):
        for it, reports in zip(both, in_turns, strict=True):
            reports.append({name: value for name, value in it.step().items() if name != "seconds"})

    assert in_turns == alone
    assert alone[0] != alone[1]


def in_files(folder: Path, kept: TensorImages) -> FileImages:
    paths = tuple(folder / f"{number}.png" for number in range(len(kept.labels)))
    for path, pixels in zip(paths, kept.images, strict=True):
        Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(path)
    return FileImages(paths, kept.labels, side=6)


@pytest.mark.parametrize("kind", ["tensor", "files"])
def test_torchs_global_generator_is_neither_read_nor_moved(tmp_path: Path, kind: str) -> None:
    using = data()
    if kind == "files":
        using = replace(using, train=in_files(tmp_path, images(9)), val=in_files(tmp_path, images(9)))
    expected = finished(training(SCHEDULES["cosine"], using=using))
    torch.manual_seed(123)
    before = torch.get_rng_state()

    assert finished(training(SCHEDULES["cosine"], using=using)) == expected
    assert torch.equal(torch.get_rng_state(), before)


def test_files_train_to_the_same_numbers_as_tensors(tmp_path: Path) -> None:
    kept = data()
    using = replace(kept, train=in_files(tmp_path, images(20, 1)))
    assert finished(training(SCHEDULES["cosine"], using=using)) == finished(training(SCHEDULES["cosine"], using=kept))


@EACH_SCHEDULE
def test_epochs_are_counted_from_1_and_end_with_the_recipe(recipe: Recipe) -> None:
    it = training(recipe)
    assert not it.done
    assert [report["epoch"] for report in finished(it)] == [1, 2, 3, 4]
    assert it.done


# One step an epoch: what `state_dict` says after epoch t is the rate of step t + 1.


def rates(recipe: Recipe, name: str = "lr") -> list[float]:
    it = training(recipe, using=data(train=8))
    found = []
    while not it.done:
        found.append(rate(it, name))
        it.step()
    return found


def test_the_cosine_schedule() -> None:
    total = 12
    recipe = replace(PLAIN, epochs=total, learning_rate=0.2, schedule="cosine")
    assert rates(recipe) == pytest.approx([0.1 * (1 + math.cos(math.pi * t / total)) for t in range(total)])


@pytest.mark.parametrize(("milestones", "gamma"), [((3, 5), 0.1), ((1, 2, 6), 0.5), ((), 0.1), ((4,), 0.5)])
def test_the_milestones_schedule(milestones: tuple[int, ...], gamma: float) -> None:
    recipe = replace(PLAIN, epochs=7, learning_rate=0.2, milestones=milestones, gamma=gamma)
    expected = [0.2 * gamma ** sum(milestone <= epoch for milestone in milestones) for epoch in range(7)]
    assert rates(recipe) == pytest.approx(expected)


@pytest.mark.parametrize("epochs", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("name", [name for name, it in RECIPES.items() if it.schedule != "one-cycle"])
def test_over_few_epochs_the_rate_begins_as_in_the_recipe_and_never_rises(name: str, epochs: int) -> None:
    recipe = replace(RECIPES[name].with_epochs(epochs), batch_size=8)
    found = rates(recipe)
    assert found[0] == recipe.learning_rate
    assert found == sorted(found, reverse=True)
    assert found[-1] > 0


def test_milestones_count_epochs_not_steps() -> None:
    it = training(replace(PLAIN, epochs=3, milestones=(2,)), using=data(train=30))
    found = []
    for _ in range(3):
        found.append(rate(it))
        it.step()
    assert found == pytest.approx([0.1, 0.1, 0.01])


@pytest.mark.parametrize("total", [10, 23])
def test_the_one_cycle_schedule_goes_up_for_30_percent_and_momentum_against_it(total: int) -> None:
    recipe = replace(PLAIN, epochs=total, learning_rate=0.2, momentum=0.9, schedule="one-cycle")
    peak = 0.3 * total - 1

    def swing(step: int, start: float, top: float, end: float) -> float:
        before = step <= peak
        share = step / peak if before else (step - peak) / (total - 1 - peak)
        first, last = (start, top) if before else (top, end)
        return last + (first - last) * (1 + math.cos(math.pi * share)) / 2

    assert rates(recipe) == pytest.approx([swing(step, 0.2 / 25, 0.2, 0.2 / 25e4) for step in range(total)])
    assert rates(recipe, "momentum") == pytest.approx([swing(step, 0.95, 0.85, 0.95) for step in range(total)])


@pytest.mark.parametrize(
    "recipe",
    [
        replace(PLAIN, weight_decay=0.1),
        replace(PLAIN, momentum=0.9),
        replace(PLAIN, momentum=0.9, nesterov=True, weight_decay=0.01),
        replace(PLAIN, label_smoothing=0.3),
        replace(PLAIN, clip_norm=0.05),
        replace(PLAIN, clip_norm=100.0),
        replace(PLAIN, channels_last=True),
    ],
    ids=["weight decay", "momentum", "nesterov", "label smoothing", "clipped", "clip too large", "channels last"],
)
def test_a_linear_classifier_learns_by_sgd_as_written_out_by_hand(recipe: Recipe) -> None:
    using = data(train=8)
    linear = nn.Linear(108, 3)
    weight, bias = learnt = [p.detach().clone().double() for p in (linear.weight, linear.bias)]
    it = Training(nn.Sequential(nn.Flatten(), linear), using, recipe, 0, CPU)

    given = images(8, 1)
    mean, std = (torch.tensor(values, dtype=torch.float64)[:, None, None] for values in (using.mean, using.std))
    x = ((given.images.double() / 255 - mean) / std).flatten(1)
    target = torch.eye(3, dtype=torch.float64)[given.labels]
    target = (1 - recipe.label_smoothing) * target + recipe.label_smoothing / 3
    velocity = [torch.zeros_like(weight), torch.zeros_like(bias)]
    for _ in range(3):
        logits = x @ weight.T + bias
        share = logits.exp() / logits.exp().sum(1, keepdim=True)
        report = it.step()
        assert report["train_loss"] == pytest.approx(-float((target * share.log()).sum(1).mean()), rel=1e-4)
        assert report["train_accuracy"] == pytest.approx(float((logits.argmax(1) == given.labels).double().mean()))
        gradients = [(share - target).T @ x / 8, (share - target).mean(0)]
        norm = math.sqrt(sum(float(gradient.square().sum()) for gradient in gradients))
        shrink = 1.0 if recipe.clip_norm is None else min(1.0, recipe.clip_norm / norm)
        for number in range(2):
            gradient = shrink * gradients[number] + recipe.weight_decay * learnt[number]
            velocity[number] = recipe.momentum * velocity[number] + gradient
            step = gradient + recipe.momentum * velocity[number] if recipe.nesterov else velocity[number]
            learnt[number] -= recipe.learning_rate * step

    torch.testing.assert_close(linear.weight.detach().double(), weight, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(linear.bias.detach().double(), bias, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("count", [7, 300])
def test_validation_is_the_mean_loss_and_the_share_of_right_answers(count: int) -> None:
    using = data(val=count)
    it = training(PLAIN, using=using)
    report = it.step()
    model = network()
    model.load_state_dict(weights(it))
    mean, std = (torch.tensor(values)[:, None, None] for values in (using.mean, using.std))
    given = images(count, 2)
    logits = model.eval()((given.images / 255 - mean) / std).detach()
    right = logits.logsumexp(1) - logits.gather(1, given.labels[:, None])[:, 0]

    assert report["val_loss"] == pytest.approx(float(right.mean()), rel=1e-4)
    assert report["val_accuracy"] == pytest.approx(float((logits.argmax(1) == given.labels).double().mean()))


@pytest.mark.parametrize(("count", "sizes"), [(8, [8]), (9, [8]), (10, [8, 2]), (17, [8, 8]), (15, [8, 7])])
def test_a_last_batch_of_one_image_is_left_out(count: int, sizes: list[int]) -> None:
    model, seen = network(), list[int]()
    model.register_forward_pre_hook(lambda module, args: seen.append(len(args[0])) if module.training else None)
    Training(model, data(train=count), PLAIN, 0, CPU).step()

    assert seen == sizes
    assert steps_per_epoch(PLAIN, count) == len(sizes)


def test_each_epoch_sees_every_image_once_in_another_order() -> None:
    labels = torch.arange(20)
    pixels = labels.to(torch.uint8)[:, None, None, None].expand(-1, 3, 6, 6)
    using = replace(data(), train=TensorImages(pixels, labels % 3), mean=(0.0,) * 3, std=(1.0,) * 3)
    model = network()
    seen: list[int] = []
    model.register_forward_pre_hook(
        lambda module, args: (
            seen.extend((args[0][:, 0, 0, 0] * 255).round().int().tolist()) if module.training else None
        )
    )
    finished(Training(model, using, replace(PLAIN, epochs=2), 0, CPU))
    first, second = seen[:20], seen[20:]

    assert sorted(first) == sorted(second) == labels.tolist()
    assert len({tuple(first), tuple(second), tuple(labels.tolist())}) == 3


@EACH_SCHEDULE
def test_a_loss_that_is_no_number_ends_the_training(recipe: Recipe) -> None:
    it = training(replace(recipe, learning_rate=1e30, clip_norm=None))
    with pytest.raises(FloatingPointError, match="loss"):
        finished(it)


def test_weights_that_break_in_the_very_last_step_are_neither_judged_nor_kept(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    recipe = replace(PLAIN, epochs=1, learning_rate=1e38)
    it = training(recipe, using=data(train=8), weights_path=path)
    with pytest.raises(FloatingPointError):
        it.step()
    assert not path.exists()


def test_weights_that_cannot_be_written_leave_those_that_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.safetensors"
    training(replace(PLAIN, epochs=1), using=data(train=8), weights_path=path).step()
    before = path.read_bytes()

    def half(tensors: dict[str, Tensor], where: Path, metadata: object) -> None:
        where.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr("trainers.training.save_file", half)
    again = training(replace(PLAIN, epochs=1), seed=1, using=data(train=8), weights_path=path)
    with pytest.raises(OSError, match="disk full"):
        again.step()
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [before]


@dataclass
class Counted:
    """Images that count how often they are read."""

    kept: TensorImages
    reads: list[list[int]] = field(default_factory=list)

    @property
    def labels(self) -> Tensor:
        return self.kept.labels

    def batches(self, order: Tensor, batch_size: int, resized_crop: bool = False) -> Iterator[tuple[Tensor, Tensor]]:
        self.reads.append(order.tolist())
        return self.kept.batches(order, batch_size, resized_crop)

    def to(self, device: torch.device, workers: int) -> Images:
        return self

    def joined(self, other: Images) -> Images:
        raise AssertionError("only retraining joins images")


@pytest.mark.parametrize("interrupted", [False, True])
def test_judged_by_test_it_reads_the_test_images_once_at_the_end_and_never_the_validation_images(
    interrupted: bool,
) -> None:
    val, test = Counted(images(7, 2)), Counted(images(5, 3))
    using = replace(data(), val=val, test=test)
    recipe = SCHEDULES["cosine"]
    it = training(recipe, using=using, judge="test")
    for epoch in range(1, recipe.epochs + 1):
        report = it.step()
        assert not any(name.startswith("val") for name in report)
        assert ("test_accuracy" in report) == ("test_loss" in report) == (epoch == recipe.epochs)
        assert len(test.reads) == (epoch == recipe.epochs)
        if interrupted:
            state = through_a_file(it.state_dict())
            it = training(recipe, using=using, judge="test")
            it.load_state_dict(state)

    assert val.reads == []
    assert test.reads == [[0, 1, 2, 3, 4]]


def test_judged_by_validation_it_never_reads_the_test_images() -> None:
    val, test = Counted(images(7, 2)), Counted(images(5, 3))
    finished(training(SCHEDULES["cosine"], using=replace(data(), val=val, test=test)))

    assert test.reads == []
    assert val.reads == [list(range(7))] * 4


def test_judged_by_test_each_epoch_it_reads_the_test_images_each_epoch_and_never_the_validation_images() -> None:
    val, test = Counted(images(7, 2)), Counted(images(5, 3))
    using = replace(data(), val=val, test=test)
    reports = finished(training(SCHEDULES["cosine"], using=using, judge="test each epoch"))

    assert all("test_accuracy" in report and "val_accuracy" not in report for report in reports)
    assert val.reads == []
    assert test.reads == [list(range(5))] * len(reports)


def test_how_it_is_judged_does_not_change_what_is_learnt() -> None:
    judges: tuple[Judge, ...] = ("val", "test", "test each epoch")
    val, *others = (finished(training(SCHEDULES["cosine"], judge=judge)) for judge in judges)
    for key in ("train_loss", "train_accuracy"):
        for other in others:
            assert [report[key] for report in val] == [report[key] for report in other]


def test_what_is_judged_and_written_is_an_exponential_average_of_weights_and_statistics(tmp_path: Path) -> None:
    decay, path = 0.7, tmp_path / "model.safetensors"
    recipe = replace(PLAIN, averaging=decay)
    it = training(recipe, using=data(train=8), weights_path=path)  # one step an epoch
    expected: dict[str, Tensor] = {}
    while not it.done:
        it.step()
        now = weights(it)
        floats = {name: value for name, value in now.items() if value.is_floating_point()}
        expected = {name: torch.lerp(expected.get(name, value), value, 1 - decay) for name, value in floats.items()}
    written = load_file(path)
    assert {"1.running_mean", "1.running_var", "6.weight"} <= {*expected}
    for name, value in expected.items():
        torch.testing.assert_close(written[name], value)
        assert not torch.equal(value, now[name])


def test_averaging_changes_what_is_judged_and_not_what_is_learnt() -> None:
    averaged, as_it_is = (finished(training(replace(PLAIN, averaging=decay))) for decay in (0.9, 0.0))
    assert [report["train_loss"] for report in averaged] == [report["train_loss"] for report in as_it_is]
    assert [report["val_loss"] for report in averaged] != [report["val_loss"] for report in as_it_is]


EACH_STORED = pytest.mark.parametrize(
    "design", ["none", "se:sharing=stage", "ras:depth=3,bn=shared", "dia", "cbam:sharing=stage", "eca:start=unit"]
)


def stored(path: Path, design: str) -> tuple[nn.Module, dict[str, Tensor]]:
    """A fresh network, and what one like it has learnt and written to this file."""
    recipe = Recipe(epochs=2, batch_size=8, schedule="one-cycle")
    trained, fresh = (build(Design.parse(design), backbone("resnet20"), 3) for _ in range(2))
    it = Training(trained, data(train=8), recipe, 0, CPU, weights_path=path)
    it.step()
    assert not path.exists()
    it.step()
    return fresh, weights(it)


@EACH_STORED
def test_weights_written_after_the_last_epoch_load_back_equal(tmp_path: Path, design: str) -> None:
    path = tmp_path / "new" / "model.safetensors"
    fresh, learnt = stored(path, design)
    fresh.load_state_dict(load_file(path))
    torch.testing.assert_close(dict(fresh.state_dict()), learnt, rtol=0, atol=0, check_stride=False)


@pytest.mark.parametrize("design", ["none", "se:depth=2", "ras", "eca:depth=2,connection=rational", "cbam", "dia"])
def test_mixed_precision_trains_every_attention_close_to_full_precision(design: str) -> None:
    losses = []
    for mixed_precision in (False, True):
        torch.manual_seed(0)
        model = build(Design.parse(design), backbone("resnet11"), 3)
        recipe = Recipe(epochs=1, batch_size=8, learning_rate=0.01, mixed_precision=mixed_precision)
        it = Training(model, data(), recipe, 0, CPU)
        losses.append(it.step()["train_loss"])
        assert {value.dtype for value in weights(it).values()} <= {torch.float32, torch.int64}
    full, mixed = losses

    assert mixed != full
    assert mixed == pytest.approx(full, rel=0.05)


def test_compiled_it_trains_to_the_same_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    """But for dropout, which then draws otherwise. The last batch is of another size."""
    seen: list[nn.Module] = []
    compile_it = torch.compile

    def noting(network: nn.Module) -> Callable[..., Any]:
        seen.append(network)
        return compile_it(network)

    monkeypatch.setattr(torch, "compile", noting)
    recipes = [replace(PLAIN, compiled=compiled) for compiled in (False, True)]
    reports = [finished(Training(without_bn(), data(), recipe, 0, CPU)) for recipe in recipes]
    losses = [[report["train_loss"] for report in each] for each in reports]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    assert len(seen) == 1


def test_the_seed_decides_everything_random_in_a_training() -> None:
    recipe = SCHEDULES["one-cycle"]
    reports = [finished(Training(network(0), data(), recipe, seed, CPU)) for seed in (1, 1, 2)]
    assert reports[0] == reports[1]
    assert reports[0] != reports[2]


@EACH_SCHEDULE
def test_pretrained_parameters_learn_at_a_share_of_the_rate_all_along(recipe: Recipe) -> None:
    recipe = replace(recipe, backbone_rate=0.1)
    it = network()
    head = [*it[-1].parameters()] if isinstance(it, nn.Sequential) else []
    pretrained = [parameter for parameter in it.parameters() if all(parameter is not one for one in head)]
    run = Training(it, data(), recipe, 5, CPU, pretrained=pretrained)
    while True:
        fast, slow = run.state_dict()["optimizer"]["param_groups"]
        assert (len(fast["params"]), len(slow["params"])) == (len(head), len(pretrained))
        assert slow["lr"] == pytest.approx(0.1 * fast["lr"])
        if run.done:
            break
        run.step()


@pytest.mark.parametrize("fine_tuned", [False, True])
def test_what_a_network_has_frozen_stays_and_gates_and_the_rest_learn(fine_tuned: bool) -> None:
    it = build(Design("se"), replace(backbone("resnet11"), make=half_frozen), 3)
    before = {name: parameter.detach().clone() for name, parameter in it.named_parameters()}
    pretrained = pretrained_parameters(it, "fc") if fine_tuned else []
    run = Training(it, data(), replace(PLAIN, epochs=2, weight_decay=0.1), 5, CPU, pretrained=pretrained)
    finished(run)

    same = {name for name, parameter in it.named_parameters() if torch.equal(parameter, before[name])}
    assert same == {name for name in before if name.startswith(("stem.", "stages.0.")) and ".gate." not in name}
    groups = run.state_dict()["optimizer"]["param_groups"]
    assert sum(len(group["params"]) for group in groups) == len(before) - len(same)


def half_frozen(in_channels: int, num_classes: int) -> nn.Module:
    """A network whose first stage has frozen itself."""
    network = backbone("resnet11").make(in_channels, num_classes)
    for part in ("stem", "stages.0"):
        network.get_submodule(part).requires_grad_(False)
    return network


def test_a_network_in_which_nothing_learns_is_a_mistake() -> None:
    with pytest.raises(UserError, match="all parameters of the network are frozen"):
        Training(network().requires_grad_(False), data(), PLAIN, 0, CPU)


@EACH_SCHEDULE
def test_two_images_are_enough_to_train_and_one_is_a_mistake(recipe: Recipe) -> None:
    assert len(finished(training(recipe, using=data(train=2)))) == recipe.epochs
    for count in (0, 1):
        with pytest.raises(UserError, match=f"training images: {count};"):
            training(recipe, using=data(train=count))


def test_a_single_step_of_one_cycle_learns() -> None:
    recipe = replace(PLAIN, epochs=1, learning_rate=0.2, schedule="one-cycle")
    assert 0.1 < rates(recipe)[0] < 0.2


def test_without_pretrained_parameters_the_share_changes_nothing() -> None:
    assert finished(training(replace(PLAIN, backbone_rate=0.1))) == finished(training(PLAIN))


@pytest.mark.parametrize("parts", [2, 3, 8, 100])
@pytest.mark.parametrize("class_weights", [False, True])
def test_the_gradients_of_the_parts_of_a_batch_are_those_of_the_batch(parts: int, class_weights: bool) -> None:
    recipe = replace(PLAIN, class_weights=class_weights, label_smoothing=0.1, clip_norm=0.5, crop_padding=1)
    whole = finished(Training(without_bn(), data(), recipe, 5, CPU))
    in_parts = finished(Training(without_bn(), data(), replace(recipe, accumulate=parts), 5, CPU))
    halved = Training(without_bn(), data(), recipe, 5, CPU)
    halved.halve_batches()
    for epochs in (in_parts, finished(halved)):
        for report, expected in zip(epochs, whole, strict=True):
            assert {name: report[name] for name in expected} == pytest.approx(expected, rel=1e-4)


def test_only_so_many_images_go_through_the_network_at_once_and_never_a_single_one() -> None:
    sizes: dict[bool, set[int]] = {True: set(), False: set()}
    it = network()
    it.register_forward_pre_hook(lambda module, images: sizes[module.training].add(len(images[0])))
    Training(it, data(train=19), replace(PLAIN, accumulate=3), 5, CPU).step()
    assert sizes[True] == {3, 2}  # of batches of 8 and of 3, whose parts would be single images


def test_what_was_halved_stays_so_when_it_is_taken_up_and_is_told() -> None:
    first = training(PLAIN)
    first.halve_batches()
    assert first.step()["accumulate"] == 2
    second = training(PLAIN)
    second.load_state_dict(first.state_dict())
    assert finished(second) == finished(first)


def test_class_weights_are_the_inverse_shares_of_the_training_images() -> None:
    labels = torch.tensor([0] * 12 + [1] * 6 + [2] * 2)
    unbalanced = replace(data(), train=TensorImages(images(20, 1).images, labels))
    recipe = replace(PLAIN, epochs=1, batch_size=20, class_weights=True, learning_rate=0.5)
    logits: list[Tensor] = []
    it = network()
    hook = it.register_forward_hook(lambda _, __, out: logits.append(out.detach()))
    order: list[Tensor] = []
    plain_batches = TensorImages.batches

    run = Training(it, unbalanced, recipe, 5, CPU)
    with pytest.MonkeyPatch.context() as patch:

        def batches(self: TensorImages, given: Tensor, *rest: Any) -> Iterator[tuple[Tensor, Tensor]]:
            order.append(given)
            return plain_batches(self, given, *rest)

        patch.setattr(TensorImages, "batches", batches)
        report = run.step()
    hook.remove()

    shares = torch.tensor([20 / (3 * 12), 20 / (3 * 6), 20 / (3 * 2)])
    there = labels[order[0]]
    each = -logits[0].log_softmax(1)[torch.arange(20), there] * shares[there]
    assert report["train_loss"] == pytest.approx(float(each.sum() / shares[there].sum()), rel=1e-5)


@pytest.mark.parametrize("judge", ["val", "test"])
def test_all_three_metrics_are_reported(judge: Judge) -> None:
    last = finished(training(PLAIN, judge=judge))[-1]
    assert {f"{judge}_{name}" for name in ("loss", "accuracy", "balanced_accuracy", "macro_f1")} <= last.keys()
