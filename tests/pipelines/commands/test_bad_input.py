"""A user's mistake: one line, exit code 2, no traceback, nothing written."""

from pathlib import Path

import pytest

from tests.pipelines.conftest import Search, write_folder, write_picture


def assert_one_line(search: Search, here: Path, arguments: list[str], *words: str) -> None:
    before = set(here.rglob("*"))
    ended = search(*arguments)
    assert ended.code == 2, ended.err
    last = ended.err.strip().splitlines()[-1]
    assert last.startswith("search: ")
    assert "Traceback" not in ended.err
    for word in words:
        assert word in last, last
    assert set(here.rglob("*")) == before


LAUNCH = ["launch", "--space", "tiny.toml", "--epochs", "1", "--engine", "local"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["profile", "foo", "--no-measuring"], ["no attention 'foo'", "sem, spa"]),
        (["profile", "se:reducton=8"], ["'se:reducton=8'", "no field 'reducton'", "reduction"]),
        (["profile", "se:reduction=three"], ["reduction=three", "16"]),
        (["profile", "se", "--backbone", "resnet21"], ["resnet21", "9n+2"]),
        (["profile", "se", "--backbone", "vgg"], ["no backbone 'vgg'", "resnet"]),
        (["profile", "se:stages=4"], ["stages=4", "123"]),
        ([*LAUNCH, "--dataset", "mnist"], ["no dataset 'mnist'", "digits", "folder:PATH"]),
        ([*LAUNCH, "--dataset", "cifar10"], ["cifar-10-batches-py", "data", "--download", "--data-root"]),
        ([*LAUNCH, "--dataset", "cifar100"], ["cifar-100-python", "--download"]),
        ([*LAUNCH, "--dataset", "stl10"], ["stl10_binary", "--download"]),
        ([*LAUNCH, "--dataset", "folder:nowhere"], ["no folder", "nowhere", "sub-folder a class"]),
        ([*LAUNCH, "--sampler", "grid"], ["no sampler 'grid'", "tpe"]),
        ([*LAUNCH, "--backbone", "resnet12"], ["resnet12", "9n+2"]),
        ([*LAUNCH, "--recipe", "fast"], ["no recipe 'fast'", "digits"]),
        ([*LAUNCH, "--budget", "0"], ["--budget 0"]),
        ([*LAUNCH, "--epochs", "0"], ["--epochs 0"]),
        ([*LAUNCH, "--rungs", "0.2,1"], ["--rungs 0.2,1", "between 0 and 1"]),
        ([*LAUNCH, "--rungs", "early"], ["--rungs early", "0.2,0.5"]),
        ([*LAUNCH, "--reduction-factor", "1"], ["--reduction-factor 1", "above 1"]),
        ([*LAUNCH, "--device", "tpu"], ["no device 'tpu'", "cpu"]),
        ([*LAUNCH, "--workers", "0"], ["--workers 0"]),
        ([*LAUNCH, "--workers", "2"], ["--engine local"]),
        ([*LAUNCH, "--cpus-per-trial", "0"], ["--cpus-per-trial 0"]),
        ([*LAUNCH, "--gpus-per-trial", "1.5"], ["--gpus-per-trial 1.5", "fraction"]),
        ([*LAUNCH, "--gpus-per-trial", "0.5", "--device", "cpu"], ["--device cuda"]),
        ([*LAUNCH, "--engine", "dask"], ["no engine 'dask'", "ray"]),
        ([*LAUNCH, "--max-params", "100k"], ["--max-params 100k", "220,090", "none"]),
        ([*LAUNCH, "--max-params", "many"], ["--max-params many", "1.5M"]),
        ([*LAUNCH, "--min-fps", "1000M"], ["no design meets --min-fps 1000M"]),
        ([*LAUNCH, "--node-type", "fast"], ["--node-type fast", "--address"]),
        ([*LAUNCH, "--grace", "soon"], ["--grace soon", "2h"]),
        ([*LAUNCH, "--accumulate", "0"], ["--accumulate 0", "at least one"]),
        ([*LAUNCH, "--checkpoints", "nosuch://runs"], ["--checkpoints nosuch://runs", "nosuch"]),
        ([*LAUNCH, "--time-limit", "soon"], ["--time-limit soon", "2h"]),
        ([*LAUNCH, "--train-size", "24"], ["batch of 25", "24"]),
        ([*LAUNCH, "--train-size", "1797"], ["--train-size 1797"]),
        ([*LAUNCH, "--storage", "nosuch://x"], ["--storage nosuch://x"]),
        (["launch", "--space", "nosuch"], ["no space 'nosuch'", "small, papers, full"]),
        (["space", "--space", "nosuch.toml"], ["no space 'nosuch.toml'"]),
        ([*LAUNCH, "--study", "a/b"], ["--study 'a/b'"]),
        ([*LAUNCH, "--storage", "tiny.toml"], ["--storage tiny.toml is a file"]),
        (["profile", "se", "--image-size", "3", "--no-measuring"], ["3 pixels", "resnet20 needs at least 4"]),
        (["space", "--image-size", "2"], ["2 pixels"]),
        (["status"], ["no study", "search launch"]),
        (["status", "--storage", "sqlite:///nosuch.db"], ["no study", "search launch"]),
        (["front", "nosuch"], ["no study"]),
        (["importance", "nosuch"], ["no study"]),
        (["retrain", "nosuch"], ["no study"]),
        (["reproduce", "ras-table9"], ["no experiment 'ras-table9'", "ras-table1", "dia-figure6"]),
        (["reproduce", "--all"], ["--all", "--params-only"]),
        (["reproduce", "--params-only"], ["name of an experiment"]),
        (["reproduce", "--rows", "SE"], ["name of an experiment"]),
        (["reproduce", "--all", "--params-only", "--epochs", "3"], ["--params-only", "leave"]),
        (["reproduce", "--all", "--params-only", "--rows", "vgg"], ["--rows vgg", "any experiment"]),
        (
            ["reproduce", "dia-figure5", "--dataset", "digits", "--backbone", "resnet11"],
            ["resnet11", "one block a stage"],
        ),
        (["profile", "se", "--backbone", "resnet50"], ["resnet50", "9n+2", "imagenet/resnet50"]),
        (["reproduce", "dia-table1", "--all", "--params-only"], ["--all", "dia-table1"]),
        (["reproduce", "dia-table1", "--rows", "vgg"], ["--rows vgg", "dia-table1", "Org"]),
        (["reproduce", "dia-table1", "--seeds", "0"], ["--seeds 0"]),
        (["reproduce", "ras-table2", "--rows", "CIFAR10", "--dataset", "stl10"], ["other rows on stl10"]),
        (["reproduce", "dia-table1"], ["cifar-100-python", "--download"]),
        (["reproduce", "dia-table3", "--rows", "ImageNet"], ["imagenet/train", "--data-root"]),
        (["reproduce", "dia-table1", "--dataset", "digits", "--backbone", "vgg"], ["no backbone 'vgg'"]),
        (["reproduce", "dia-table1", "--dataset", "digits", "--recipe", "fast"], ["no recipe 'fast'"]),
        (["profile", "se", "--backbone", "resnet20+no_bm"], ["+no_bm", "+no_bn", "+no_skip"]),
    ],
)
def test_a_mistake_on_the_command_line(search: Search, here: Path, arguments: list[str], words: list[str]) -> None:
    assert_one_line(search, here, arguments, *words)


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("attention = [", ["not TOML"]),
        ("", ["attention must be a list"]),
        ('attention = ["foo"]', ["no attention 'foo'", "sem, spa"]),
        ('attention = ["se"]\ndepht = [1]', ["'depht'", "depth"]),
        ('attention = ["se"]\n[se]\nreduction = [3]', ["'se.reduction'", "3", "16"]),
        ('attention = ["eca"]\n[eca]\nreduction = [8]', ["'eca.reduction'", "depth"]),
        ('attention = ["se"]\nstages = ["4"]', ["stages=4", "123"]),
    ],
)
def test_a_malformed_space_file(search: Search, here: Path, toml: str, words: list[str]) -> None:
    (here / "bad.toml").write_text(toml)
    assert_one_line(search, here, ["launch", "--space", "bad.toml"], "bad.toml", *words)


def test_a_folder_without_classes(search: Search, here: Path) -> None:
    write_picture(here / "images" / "0.png")
    assert_one_line(search, here, [*LAUNCH, "--dataset", "folder:images"], "no sub-folders", "class")


def test_a_folder_with_one_class(search: Search, here: Path) -> None:
    write_folder(here / "images", classes=1)
    assert_one_line(search, here, [*LAUNCH, "--dataset", "folder:images"], "one class", "class0")


def test_a_folder_with_an_empty_class(search: Search, here: Path) -> None:
    write_folder(here / "images")
    (here / "images" / "class2").mkdir()
    assert_one_line(search, here, [*LAUNCH, "--dataset", "folder:images"], "class2", "no images")


def test_an_unreadable_image_is_named(search: Search, here: Path) -> None:
    write_folder(here / "images")
    victim = here / "images" / "class1" / "3.png"
    victim.write_bytes(victim.read_bytes()[:-40])
    assert_one_line(search, here, [*LAUNCH, "--dataset", "folder:images"], "3.png", "not a readable image")


def test_a_batch_larger_than_the_data(search: Search, here: Path) -> None:
    write_folder(here / "images")
    assert_one_line(search, here, [*LAUNCH, "--dataset", "folder:images"], "batch of 128", "14 training images")


def test_images_smaller_than_the_networks_stride(search: Search, here: Path) -> None:
    write_folder(here / "images", images=100, side=3)
    assert_one_line(search, here, [*LAUNCH, "--dataset", "folder:images"], "3 pixels", "resnet20 needs at least 4")


def test_a_picture_that_cannot_be_written(search: Search, launch: Search, here: Path) -> None:
    launch("--budget", "1")
    launch("--budget", "2")
    for name in ("nowhere/front.png", "front.abc"):
        assert_one_line(search, here, ["importance", "--png", name], f"--png {name}")
        assert_one_line(search, here, ["front", "--png", name], f"--png {name}")


def test_retraining_wants_one_way_of_choosing(search: Search, launch: Search, here: Path) -> None:
    launch("--budget", "1")
    for arguments, word in (
        (["--top", "1", "--knee"], "exclude each other"),
        (["--top", "0"], "--top 0"),
        (["--seeds", "0"], "--seeds 0"),
        (["--design", "foo"], "no attention 'foo'"),
        (["--recipe", "foo"], "no recipe 'foo'"),
    ):
        assert_one_line(search, here, ["retrain", *arguments], word)


def test_ctrl_c_before_a_search_begins_is_one_line_and_exit_code_3(
    search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pipelines.commands.backbones.backbone", interrupt)
    ended = search("backbones")
    assert ended.code == 3
    assert ended.err.strip().splitlines()[-1] == "stopped; the same command starts again"
