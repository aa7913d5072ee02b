"""What a plug-in registers goes through every command, to the workers, and into the study's settings."""

import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from search.local_engine import LocalEngine
from search.storage import Storage
from search.trials import State
from space import Design
from space.backbones import backbone
from space.build import build
from tests.pipelines.commands.test_bad_input import assert_one_line
from tests.pipelines.conftest import Search, mlflow_runs
from trainers.counting import count_macs, count_params, macs, num_params
from trainers.datasets import read_data
from trainers.source import Source
from trainers.task import Task

pytestmark = pytest.mark.usefixtures("registries")

ATTENTION = """
import torch
from torch import nn
from space.attention import ATTENTION, Excitation

@ATTENTION.register("rise")
class Rise(Excitation):
    def __init__(self, channels, reduction=8):
        super().__init__()
        self.reduce = nn.Linear(channels, max(1, channels // reduction))
        self.excite = nn.Linear(max(1, channels // reduction), channels)

    def forward(self, pooled):
        return self.excite(self.reduce(pooled).tanh())

    def hold(self):
        nn.init.zeros_(self.excite.weight)
        nn.init.zeros_(self.excite.bias)
        return 0.0
"""
SPACE = 'attention = ["none", "rise"]\n[rise]\ndepth = [1, 2]\nstart = ["published", "unit"]'
OTHERS = """
import torch
from optuna.samplers import RandomSampler
from search.samplers import SAMPLERS
from space.backbones import BACKBONES, backbone
from trainers.data import Data
from trainers.datasets import DATASETS
from trainers.images import TensorImages

@SAMPLERS.register("chance")
class Chance(RandomSampler):
    pass

@SAMPLERS.register("hapless")
class Hapless(RandomSampler):
    def sample_independent(self, study, trial, name, distribution):
        raise KeyError("no idea")

@BACKBONES.register("eleven")
def eleven(num_classes, in_channels):
    return backbone("resnet11").make(in_channels, num_classes)

@DATASETS.register("levels")
def levels(source, download):
    def images(count):
        labels = torch.arange(count) % 3
        return TensorImages((80 * labels.byte())[:, None, None, None].expand(-1, 2, 8, 8).contiguous(), labels)
    train, val, test = (images(count) for count in (130, 30, 30))
    common = dict(name="levels", classes=("dark", "grey", "light"), shape=(2, 8, 8), mean=(0.1, 0.2), std=(0.1, 0.2))
    return Data(**common, train=train, val=val, test=test, mirrors=False)

@DATASETS.register("broken")
def broken(source, download):
    raise LookupError(f"nothing below {source.root.name}\\nat all")
"""


@pytest.fixture
def plugged(search: Search, here: Path) -> Search:
    """Commands in a folder with rise.py, an attention, and others.py; spaces for them."""
    (here / "rise.py").write_text(ATTENTION)
    (here / "others.py").write_text(OTHERS)
    (here / "rise.toml").write_text(SPACE)
    return search


LAUNCH = ["launch", "--space", "rise.toml", "--epochs", "1", "--engine", "local", "--study", "mine"]
RISE = ["--plugin", "rise.py"]


def test_its_designs_are_searched_shown_retrained_and_compared(plugged: Search, here: Path) -> None:
    launched = plugged(*LAUNCH, *RISE, "--budget", "99")
    assert launched.code == 0, launched.err
    record = Storage("runs").read("mine")
    designs = {str(trial.job.design) for trial in record.trials if trial.state is State.COMPLETE}
    assert designs == {"none", "rise", "rise:start=unit", "rise:depth=2", "rise:depth=2,start=unit"}
    assert len({trial.job.costs["num_params"] for trial in record.trials}) == 3  # a start costs nothing
    assert all(trial.job.costs["fps"] > 0 for trial in record.trials)

    (run,) = mlflow_runs("search")
    (digest,) = record.attributes["settings"]["plugins"].values()
    assert digest in run.data.params["plugins"]

    assert plugged("status", *RISE, "--json").json[-1]["complete"] == 5
    assert {row["design"] for row in plugged("front", *RISE, "--json").json["params"]} <= designs
    assert plugged("front", *RISE, "--png", "front.png").code == 0
    retraining = ["retrain", *RISE, "--design", "rise:depth=2", "--seeds", "1", "--epochs", "1", "--engine", "local"]
    retrained = plugged(*retraining, "--json")
    assert [row["design"] for row in retrained.json["results"]] == ["none", "rise:depth=2"]
    weights = here / retrained.json["folder"] / "resnet20-rise-depth-2" / "model.safetensors"
    built = build(Design.parse("rise:depth=2"), backbone("resnet20"), 10, 1)
    built.load_state_dict(load_file(weights))

    for arguments in ([*LAUNCH, "--budget", "99"], ["status", "mine"], ["front"], ["retrain", "--top", "1"]):
        assert_one_line(plugged_without(plugged), here, arguments, "no attention 'rise'", "--plugin FILE.py")


def plugged_without(search: Search) -> Search:
    """Commands in a process, as it were, that has not loaded the plug-in."""
    from space.attention import ATTENTION as MAKERS
    from space.declared import DECLARED

    DECLARED.pop("rise", None), MAKERS.pop("rise", None)
    return search


def test_a_study_goes_on_with_the_same_plugins_only(plugged: Search, here: Path) -> None:
    first = [*LAUNCH, "--sampler", "chance", "--plugin", "others.py", "--space", "tiny.toml", "--budget", "2"]
    assert plugged(*first).code == 0
    again = ["launch", "--study", "mine", "--budget", "3", "--engine", "local"]

    assert_one_line(plugged, here, again, "study mine was made with --plugin others.py; give it again")
    assert_one_line(plugged, here, ["retrain", "--top", "1"], "study mine was made with --plugin others.py; give it")
    more = ["--plugin", "others.py", *RISE]
    assert_one_line(plugged, here, [*again, *more], "made without --plugin rise.py; leave it out, or start another")
    assert plugged(*again, "--plugin", "others.py").code == 0

    from search.samplers import SAMPLERS
    from space.backbones import BACKBONES
    from trainers.datasets import DATASETS

    for registry, names in (
        (SAMPLERS, ("chance", "hapless")),
        (BACKBONES, ("eleven",)),
        (DATASETS, ("levels", "broken")),
    ):
        for name in names:
            del registry[name]  # a new process
    (here / "others.py").write_text(OTHERS.replace("pass", "..."))
    for arguments in (again, ["retrain", "--top", "1"]):
        says = "study mine was made with another content of others.py; put that back, or start another study"
        assert_one_line(plugged, here, [*arguments, "--plugin", "others.py"], says)


def test_a_study_knows_what_its_plugins_import(plugged: Search, here: Path) -> None:
    launch = [*LAUNCH, "--space", "tiny.toml", "--budget", "1"]
    (here / "answers.py").write_text("import layers")
    (here / "layers.py").write_text("ANSWER = 42")
    assert plugged(*launch, "--plugin", "answers.py").code == 0
    (here / "layers.py").write_text("ANSWER = 43")
    says = "study mine was made with another content of answers.py or of what it imports; put that back"
    assert_one_line(plugged, here, [*launch, "--plugin", "answers.py"], says)


def test_another_content_is_another_study(plugged: Search, here: Path) -> None:
    dry = ["launch", "--space", "tiny.toml", "--epochs", "1", "--budget", "1", "--dry-run", "--json"]
    (here / "nothing.py").write_text("ANSWER = 42")
    names = [plugged(*dry, *more).json["study"] for more in ([], ["--plugin", "nothing.py"])]
    (here / "nothing.py").write_text("ANSWER = 43")
    names += [plugged(*dry, "--plugin", "nothing.py").json["study"] for _ in range(2)]
    assert len(set(names)) == 3
    assert names[2] == names[3]


def test_a_preset_has_it_and_compare_takes_it(plugged: Search) -> None:
    without = plugged("space", "--json").json["designs"]
    dry = plugged("launch", *RISE, "--dry-run", "--json").json
    assert dry["designs"] > without
    ended = plugged("compare", "rise", *RISE, "--seeds", "2", "--epochs", "1", "--engine", "local", "--json")
    assert [row["design"] for row in ended.json["results"]] == ["none", "rise"]


def test_its_parameters_and_macs_are_those_of_the_network(plugged: Search) -> None:
    assert plugged("profile", "rise", *RISE, "--no-measuring").code == 0
    task = Task(num_classes=10, shape=(1, 8, 8))
    for text in ("rise", "rise:depth=3", "rise:depth=2,deepening=explicit,stages=3", "rise:sharing=stage,reduction=32"):
        design = Design.parse(text)
        network = build(design, backbone("resnet20"), 10, 1)
        assert num_params(design, "resnet20", task) == count_params(network)
        assert macs(design, "resnet20", task) == count_macs(network, task.shape)


def test_with_weights_its_gates_start_at_1(plugged: Search, here: Path) -> None:
    save_file(build(Design(), backbone("resnet20"), 10, 1).state_dict(), here / "plain.safetensors")
    weights = ["--weights", "plain.safetensors", "--recipe", "digits"]
    ended = plugged(*LAUNCH, *RISE, *weights, "--budget", "2", "--json")
    assert ended.code == 0, ended.err
    designs = {str(trial.job.design) for trial in Storage("runs").read("mine").trials}
    assert all("start=unit" in design for design in designs - {"none"})


def test_a_dataset_a_backbone_and_a_sampler_are_used(plugged: Search) -> None:
    levels = ["--plugin", "others.py", "--dataset", "levels", "--backbone", "eleven", "--sampler", "chance"]
    tiny = ["launch", "--space", "tiny.toml", "--epochs", "1", "--study", "mine", "--budget", "3", "--confirm", "0"]
    dry = plugged(*tiny, *levels, "--dry-run")
    assert "levels · 130 train / 30 val / 30 test · 3 classes · eleven" in dry.err
    ended = plugged(*tiny, *levels, "--engine", "local")
    assert ended.code == 0, ended.err
    record = Storage("runs").read("mine")
    assert [trial.state for trial in record.trials if trial.trained] == [State.COMPLETE] * 3
    assert not read_data(Source(name="levels")).mirrors
    assert read_data(Source(name="levels", mean=(0.3, 0.4))).mean == (0.3, 0.4)
    larger, plain = read_data(Source(name="levels", image_size=16)), read_data(Source(name="levels"))
    assert larger.shape == next(larger.val.batches(torch.arange(1), 1))[0][0].shape == (2, 16, 16)
    assert (larger.mean, larger.mirrors, larger.digest) == (plain.mean, False, plain.digest)
    assert record.attributes["settings"]["shape"] == [2, 8, 8]
    assert record.attributes["settings"]["backbones"] == ["eleven"]
    assert (
        plugged(
            "retrain", "--plugin", "others.py", "--top", "1", "--seeds", "1", "--epochs", "1", "--engine", "local"
        ).code
        == 0
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--dataset", "levels", "--train-size", "100"], ["'levels' knows --train-size 130 only, and not 100"]),
        (["--dataset", "levels", "--normalise", "imagenet"], ["mean of 3 channels", "levels have 2"]),
        (["--dataset", "broken"], ["dataset 'broken' raises LookupError: nothing below data"]),
        (["--dataset", "level"], ["no dataset 'level'", "levels"]),
        (["--backbone", "twelve"], ["no backbone 'twelve'", "eleven"]),
        (["--sampler", "change"], ["no sampler 'change'", "chance"]),
    ],
)
def test_a_mistake_is_one_line(plugged: Search, here: Path, arguments: list[str], words: list[str]) -> None:
    launch = ["launch", "--space", "tiny.toml", "--engine", "local", "--plugin", "others.py", "--epochs", "1"]
    assert_one_line(plugged, here, [*launch, *arguments], *words)


def test_a_name_is_taken_once(plugged: Search, here: Path) -> None:
    (here / "again.py").write_text(ATTENTION + "\n")
    (here / "broken.py").write_text("def")
    (here / "digits.py").write_text(OTHERS.replace('"levels"', '"digits"', 1))
    profile = ["profile", "rise", "--no-measuring"]
    assert_one_line(plugged, here, [*profile, *RISE, "--plugin", "again.py"], "again.py: there is an attention 'rise'")
    assert_one_line(plugged, here, [*profile, "--plugin", "broken.py"], "broken.py raises SyntaxError")
    assert_one_line(plugged, here, [*profile, "--plugin", "digits.py"], "there is a dataset 'digits' already")
    assert_one_line(plugged, here, [*profile, "--plugin", "none.py"], "--plugin none.py: no such Python file")


def test_a_sampler_that_raises_stops_the_search_which_goes_on_with_another_one(plugged: Search) -> None:
    tiny = [*LAUNCH, "--space", "tiny.toml", "--plugin", "others.py", "--budget", "3"]
    hapless = plugged(*tiny, "--sampler", "hapless")
    assert hapless.code == 2
    assert "Traceback" not in hapless.err
    last = hapless.err.strip().splitlines()[-1]
    assert last.startswith("search: --sampler hapless raises KeyError: 'no idea' (others.py, line ")

    assert plugged(*tiny, "--sampler", "chance").code == 0
    status = plugged("status", "mine", "--json").json
    assert (status["complete"], status["running"], status["failed"]) == (3, 0, 0)
    assert {run.info.status for run in mlflow_runs()} == {"FINISHED"}


@pytest.mark.long
def test_it_travels_to_two_ray_workers(
    plugged: Search, here: Path, start: Callable[..., subprocess.Popen[str]]
) -> None:
    arguments = ["--space", "rise.toml", "--epochs", "1", "--study", "mine", "--budget", "4", *RISE]
    others = ["--plugin", "others.py", "--dataset", "levels", "--sampler", "chance", "--backbone", "eleven"]
    process = start("launch", *arguments, *others, "--engine", "ray", "--workers", "2")
    _, err = process.communicate()
    assert process.returncode == 0, err
    assert plugged("status", *RISE, "--json").json[-1]["complete"] == 4
    trials = Storage("runs").read("mine").trials
    assert {trial.job.design.attention for trial in trials} == {"none", "rise"}


@pytest.mark.long
def test_it_travels_to_where_fps_is_measured(plugged: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    def elsewhere(self: LocalEngine, measure: Callable[[], Any]) -> Any:
        """What a cluster does."""
        program = "import pickle, sys; sys.stdout.buffer.write(pickle.dumps(pickle.load(sys.stdin.buffer)()))"
        sent, root = pickle.dumps(measure), Path(__file__).parents[3]
        ended = subprocess.run([sys.executable, "-c", program], input=sent, capture_output=True, cwd=root, check=True)
        return pickle.loads(ended.stdout)

    monkeypatch.setattr(LocalEngine, "alone", elsewhere)
    assert plugged(*LAUNCH, *RISE, "--budget", "2").code == 0
    assert plugged("retrain", *RISE, "--design", "rise", "--seeds", "1", "--epochs", "1", "--engine", "local").code == 0
