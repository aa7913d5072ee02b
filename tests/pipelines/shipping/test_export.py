"""Exported files compute what the network computes, and RUN finds the network that is meant."""

import contextlib
import importlib.util
import json
import logging
import math
import os
import pickle
import shutil
import sys
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import space
from pipelines import cli
from pipelines.commands import export
from pipelines.shipping import programs as programs_file
from pipelines.shipping.find import ASKED, find
from pipelines.shipping.programs import MOST_DIFFERENCE, ProgramError, difference_of, exported, programs, write_onnx
from pipelines.tracking.runs import run_ids
from search.proposers import Planned
from search.storage import JOURNAL, Storage
from space import Design, UserError
from space.backbones import backbone
from space.build import build
from space.gating import Gated, place_gates
from space.identity import Identity
from tests.pipelines.conftest import TINY, Search
from trainers import throughput
from trainers.evaluator import design_folder

SHAPE = (1, 8, 8)


def trained(name: str, design: Design) -> nn.Module:
    """A network that is as if it had learnt something."""
    return as_trained(build(design, backbone(name), num_classes=3, in_channels=1))


def as_trained(network: nn.Module) -> nn.Module:
    """The network with gates and statistics as if it had learnt something."""
    torch.manual_seed(0)
    network.eval()
    for module in network.modules():
        if isinstance(module, Gated):
            for parameter in module.gate.parameters():
                spread = 0.3 / math.sqrt(parameter[0].numel())  # more, and rounding errors would grow with the depth
                parameter.data.add_(spread * torch.randn_like(parameter))
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 1.5)  # type: ignore[arg-type]
    return network


def write(folder: Path, name: str, text: str, **changes: Any) -> nn.Module:
    """A folder as `search retrain` writes it; with a `study` the weights say that they are of this one."""
    design = Design.parse(text)
    network = trained(name, design)
    folder.mkdir(parents=True)
    state = {key: value.clone() for key, value in network.state_dict().items()}
    study = changes.get("study")
    whose = None if study is None else Identity(study=study, backbone=name, design=text, seed=0).metadata()
    save_file(state, folder / "model.safetensors", whose)
    described = {
        "backbone": name,
        "design": str(design),
        "test_accuracy": 0.5,
        "fields": design.to_dict(),
        "dataset": "digits",
        "classes": ["a", "b", "c"],
        "shape": SHAPE,
        "shorter_side": None,
        "mean": [0.25],
        "std": [0.5],
        "recipe": {"epochs": 1},
        **changes,
    }
    (folder / "design.json").write_text(json.dumps(described))
    return network


def logits(network: Any, images: Tensor) -> Tensor:
    with torch.inference_mode():
        computed: Tensor = network(images)
    return computed


DESIGNS = (
    ("se", "dia:cells=2"),
    ("ras", "eca", "spa"),
    ("ras:depth=3", "cbam", "dia"),
    ("sem", "se:depth=3,connection=rational", "ras:sharing=stage"),
    ("spa:depth=2,deepening=explicit", "dia:start=unit"),
)
"""Of one network each, a stage each: a program takes seconds to make, whatever is in it."""
BACKBONES = ("resnet20", "preresnet20", "torchvision/resnet18")
SHORT = ("resnet20", DESIGNS[0])


@pytest.mark.parametrize(
    ("name", "designs"),
    [
        pytest.param(name, designs, marks=() if (name, designs) == SHORT else pytest.mark.long, id=f"{name} {designs}")
        for name in BACKBONES
        for designs in DESIGNS
    ],
)
def test_every_design_is_a_program_and_onnx_for_any_number_of_images(
    tmp_path: Path, name: str, designs: Sequence[str]
) -> None:
    channels, side = (3, 64) if "/" in name else (1, 8)
    network = backbone(name).make(channels, 3)
    for stage, text in enumerate(designs):
        sites = [site for site in backbone(name).sites if site.stage == stage]
        place_gates(network, sites, Design.parse(text))
    graph = exported(as_trained(network), (channels, side, side))
    torch.export.save(graph, tmp_path / "model.pt2")
    if importlib.util.find_spec("onnxruntime"):
        write_onnx(graph, tmp_path / "model.onnx")

    for program in programs(tmp_path).values():
        for size in (1, 2, 5):
            images = torch.randn(size, channels, side, side)
            difference_of("it", program, images, logits(network, images))


@pytest.mark.parametrize("error", [2 * MOST_DIFFERENCE, float("nan"), float("inf")])
def test_programs_may_differ_by_a_share_of_the_largest_logit(error: float) -> None:
    ours = torch.tensor([[-200.0, 1.0], [3.0, 4.0]])
    apart = torch.tensor([[0.0, 0.0], [0.0, 200 * 0.5 * MOST_DIFFERENCE]])
    share = difference_of("it", lambda images: ours + apart, ours, ours)
    assert share == pytest.approx(0.5 * MOST_DIFFERENCE, rel=0.01)
    apart[1, 1] = 200 * error
    with pytest.raises(ProgramError, match="differ"):
        difference_of("it", lambda images: ours + apart, ours, ours)
    with pytest.raises(ProgramError, match="differ"):
        difference_of("it", lambda images: ours[:1], ours[:1].expand(2, -1), ours[:1].expand(2, -1))


@pytest.fixture
def folder(here: Path) -> Path:
    """A retrained network, resnet11 with se."""
    write(here / "weights", "resnet11", "se")
    return here / "weights"


def test_an_export_is_all_that_it_takes(search: Search, here: Path, folder: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    ended = search("export", "weights", "--json")
    assert ended.code == 0
    assert ended.err == ""
    assert ended.json["folder"] == "export/resnet11-se"
    assert ended.json["files"] == ["design.json", "model.onnx", "model.pt2", "model.safetensors"]
    assert all(0 <= apart <= MOST_DIFFERENCE for apart in ended.json["largest_difference"].values())
    assert os.listdir(here / "export") == ["resnet11-se"]

    into = here / "export" / "resnet11-se"
    described = json.loads((into / "design.json").read_text())
    checked = described.pop("checked")
    assert described == json.loads((folder / "design.json").read_text())
    assert checked["largest_difference"] == ended.json["largest_difference"]
    (given,) = onnxruntime.InferenceSession(into / "model.onnx").get_inputs()
    assert (given.name, given.shape) == ("images", ["batch", 1, 8, 8])
    assert checked["input"] == {"name": given.name, "shape": given.shape, "is": "(pixels / 255 - mean) / std"}
    images = torch.randn(4, *SHAPE)
    ours = logits(space.load(folder), images)
    torch.testing.assert_close(logits(space.load(into), images), ours, rtol=0, atol=0)
    for program in programs(into).values():
        difference_of("it", program, images, ours)


def test_an_earlier_export_is_replaced_and_an_export_is_exported_again(
    search: Search, here: Path, folder: Path
) -> None:
    assert search("export", "weights", "--into", "it", "--no-onnx").code == 0
    write(here / "other", "resnet11", "ras")
    assert search("export", "other", "--into", "it", "--no-onnx").code == 0
    assert search("export", "it", "--into", "it", "--no-onnx").code == 0
    assert json.loads((here / "it" / "design.json").read_text())["design"] == "ras"
    assert sorted(os.listdir(here / "it")) == ["design.json", "model.pt2", "model.safetensors"]
    assert load_file(here / "it" / "model.safetensors").keys() == load_file(here / "other" / "model.safetensors").keys()


def test_nothing_but_an_export_is_replaced(search: Search, here: Path, folder: Path) -> None:
    (here / "mine").mkdir()
    (here / "mine" / "notes.txt").write_text("mine")
    search("export", "weights", "--into", "exported", "--no-onnx")
    (here / "exported" / "notes.txt").write_text("mine")
    for into in ("weights", "mine", "exported"):
        before = {path: path.read_bytes() for path in (here / into).iterdir()}
        ended = search("export", "weights", "--into", into, "--no-onnx")
        assert ended.code == 2
        assert f"{into} is not empty" in ended.err
        assert {path: path.read_bytes() for path in (here / into).iterdir()} == before
    for into in ("tiny.toml", "tiny.toml/it", ".", "/"):
        ended = search("export", "weights", "--into", into, "--no-onnx")
        assert ended.code == 2
        assert "--into" in ended.err


def test_a_program_that_computes_something_else_is_not_kept(
    search: Search, here: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search("export", "weights", "--into", "before", "--no-onnx")
    before = {path.name: path.read_bytes() for path in (here / "before").iterdir()}
    other = trained("resnet11", Design("ras"))
    monkeypatch.setattr(programs_file, "exported", lambda network, shape: exported(other, shape))
    for into in ("before", "new"):
        ended = search("export", "weights", "--into", into, "--no-onnx")
        assert ended.code == 1
        assert "model.pt2 and the network differ" in ended.err
        assert "nothing was written" in ended.err
    assert {path.name: path.read_bytes() for path in (here / "before").iterdir()} == before
    assert not (here / "new").exists()
    assert not [path for path in here.iterdir() if path.name.startswith(".")]


def test_a_network_that_torch_cannot_export_is_one_line(search: Search, here: Path) -> None:
    (here / "own.py").write_text(
        "from torchvision.models import resnet18, ResNet\n"
        "class Odd(ResNet):\n"
        "    def forward(self, x):\n"
        "        return super().forward(x) * (2.0 if float(x.sum()) > 0 else 1.0)\n"
        "def make(num_classes=10):\n"
        "    from torchvision.models.resnet import BasicBlock\n"
        "    return Odd(BasicBlock, [1, 1, 1, 1], num_classes=num_classes)\n"
    )
    write(here / "weights", f"{here / 'own.py'}:make", "se")
    ended = search("export", "weights", "--no-onnx")
    assert ended.code == 1
    assert len(ended.err.strip().splitlines()) == 1
    assert "torch.export does not take this network" in ended.err
    assert not list((here / "export").iterdir())


def test_what_libraries_print_warn_and_log_meanwhile_is_not_shown(search: Search, here: Path) -> None:
    (here / "loud.py").write_text(
        "import logging, sys, warnings\n"
        "import torch\n"
        "from torchvision.models import resnet18, ResNet\n"
        "class Loud(ResNet):\n"
        "    def forward(self, x):\n"
        "        if torch.compiler.is_exporting():\n"
        "            print('LOUD')\n"
        "            print('LOUD', file=sys.stderr)\n"
        "            warnings.warn('LOUD')\n"
        "            logging.getLogger('loud').error('LOUD')\n"
        "        return super().forward(x)\n"
        "def make(num_classes=10):\n"
        "    from torchvision.models.resnet import BasicBlock\n"
        "    return Loud(BasicBlock, [1, 1, 1, 1], num_classes=num_classes)\n"
    )
    write(here / "weights", f"{here / 'loud.py'}:make", "se")
    shown = logging.StreamHandler(sys.stderr)
    logging.getLogger("loud").addHandler(shown)
    try:
        ended = search("export", "weights", "--no-onnx")
    finally:
        logging.getLogger("loud").removeHandler(shown)
    assert ended.code == 0
    assert ended.err == ""
    assert "LOUD" not in ended.out
    assert os.listdir(here / "export") == [design_folder(f"{here}/loud.py:make", Design("se"))]


def test_without_its_packages_onnx_is_left_out_and_said_so(
    search: Search, here: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "find_spec", lambda name: None if name == "onnxscript" else object())
    ended = search("export", "weights")
    assert ended.code == 0
    assert "model.onnx was left out" in ended.err
    assert "onnxscript" in ended.err
    assert "pip install 'attention-search[export]'" in ended.err
    assert not (here / "export" / "resnet11-se" / "model.onnx").exists()

    ended = search("export", "weights", "--onnx", "--into", "asked")
    assert ended.code == 2
    assert "--onnx needs onnxscript: pip install 'attention-search[export]'" in ended.err
    assert not (here / "asked").exists()


class Evil:
    """Makes a file when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("where", ["sample_inputs/model.pt", "constants/opaque_obj_0", "constants/model.pt"])
def test_nothing_in_a_program_is_unpickled(search: Search, here: Path, folder: Path, where: str) -> None:
    search("export", "weights", "--into", "it", "--no-onnx")
    program, evil = here / "it" / "model.pt2", pickle.dumps(Evil(str(here / "unpickled")))
    with zipfile.ZipFile(program) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    root = next(iter(content)).partition("/")[0]
    content[f"{root}/data/{where}"] = evil
    constant = {"path_name": "opaque_obj_0", "is_param": False, "use_pickle": True, "tensor_meta": None}
    if "constants" in where:
        content[f"{root}/data/constants/model_constants_config.json"] = json.dumps({"config": {"a": constant}}).encode()
    with zipfile.ZipFile(program, "w", zipfile.ZIP_STORED) as archive:
        for name, data in content.items():
            archive.writestr(name, data)

    with pytest.raises(ProgramError):
        programs(here / "it")
    assert not (here / "unpickled").exists()


# What RUN means.


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory, empty_tracking: Path) -> Path:
    """A folder with a search, and below it a retraining of plain, ras and se, two seeds each."""
    root = tmp_path_factory.mktemp("study")
    (root / "tiny.toml").write_text(TINY)
    shutil.copy(empty_tracking, root / "mlflow.db")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(root)
        patched.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root / 'mlflow.db'}")
        patched.setattr(throughput, "PLAIN_SECONDS", 0.01)
        patched.setattr(throughput, "ROUNDS", 1)
        quick = ("--epochs", "1", "--engine", "local", "--json")
        for arguments in (
            ("launch", "--study", "it", "--space", "tiny.toml", "--backbone", "resnet11", "--budget", "1", *quick),
            ("retrain", "it", "--design", "se", "--design", "ras", "--seeds", "2", *quick),
        ):
            patched.setattr(sys, "argv", ["search", *arguments])
            with pytest.raises(SystemExit) as ended:
                cli.main()
            assert not ended.value.code
    return root


def found(root: Path, run: str, design: str | None = None) -> str:
    """The folder and file that RUN means, from below the storage's folder."""
    return find(run, design, Storage(str(root / "runs"))).weights.relative_to(root / "runs").as_posix()


def test_a_run_is_a_folder_or_a_name_of_a_retraining_or_of_its_study(study: Path) -> None:
    (retraining,) = (study / "runs" / "it").glob("retrain-*")
    name = f"it/{retraining.name}"
    for run in ("it", name, str(retraining), str(retraining.parent), str(retraining / "resnet11-se")):
        assert found(study, run) == f"{name}/resnet11-se/model.safetensors"
        assert found(study, run, "se:stages=123") == f"{name}/resnet11-se/model.safetensors"
    assert found(study, "it", "none") == f"{name}/resnet11-none/model.safetensors"
    assert found(study, "it", "ras") == f"{name}/resnet11-ras/model.safetensors"
    with pytest.raises(UserError, match="--design eca is not there; there is: none; ras; se"):
        found(study, "it", "eca")
    with pytest.raises(UserError, match="there is: ras"):
        found(study, str(retraining / "resnet11-ras"), "se")


def test_a_run_is_the_mlflow_id_of_a_training(study: Path) -> None:
    (retraining,) = (study / "runs" / "it").glob("retrain-*")
    record = Storage(str(study / "runs")).read(f"it/{retraining.name}")
    of = run_ids(record.attributes)
    assert len(of) == 6
    for trial in record.trials:
        file = "model.safetensors" if trial.job.seed == 0 else "model-seed1.safetensors"
        expected = f"it/{retraining.name}/{design_folder(*trial.job.candidate)}/{file}"
        assert found(study, of[trial.number]) == expected


def test_the_id_of_a_search_trial_is_told_how_to_get_weights(study: Path) -> None:
    (run,) = run_ids(Storage(str(study / "runs")).read("it").attributes).values()
    with pytest.raises(UserError, match="keeps no weights; retrain it first: search retrain it --design 'none'"):
        found(study, run)
    with pytest.raises(UserError, match=f"no training .* has the MLflow id {'0' * 32}"):
        found(study, "0" * 32)


def test_the_retraining_written_last_is_that_of_its_study(study: Path) -> None:
    last = study / "runs" / "it" / "retrain-000000"
    write(last / "resnet11-eca", "resnet11", "eca")
    assert found(study, "it") == "it/retrain-000000/resnet11-eca/model.safetensors"
    os.utime(last / "resnet11-eca" / "design.json", ns=(0, 0))
    assert found(study, "it").endswith("resnet11-se/model.safetensors")
    shutil.rmtree(last)


@contextlib.contextmanager
def retraining(root: Path, uid: str) -> Iterator[optuna.Study]:
    """A retraining it/retrain-1, being written, without trials."""
    with Storage(str(root)).writing("it/retrain-1", Planned.DIRECTIONS, {"uid": uid}) as made:
        yield made


def test_what_an_earlier_study_of_the_same_name_left_is_not_taken(tmp_path: Path) -> None:
    storage, folder = Storage(str(tmp_path)), tmp_path / "it" / "retrain-1"
    write(folder / "resnet11-se", "resnet11", "se", study="before")
    with retraining(tmp_path, "now"):
        pass
    with pytest.raises(UserError, match="is from before it/retrain-1 was started anew"):
        find(str(folder), None, storage)
    write(folder / "resnet11-ras", "resnet11", "ras", study="now")
    assert find(str(folder), None, storage).design == Design("ras")
    with pytest.raises(UserError, match="--design se is not there; there is: ras"):
        find(str(folder), "se", storage)


def test_without_a_design_the_first_asked_for_last_is_meant(tmp_path: Path) -> None:
    storage, folder = Storage(str(tmp_path)), tmp_path / "it" / "retrain-1"
    for design in ("none", "se", "ras", "eca"):
        write(folder / f"resnet11-{design}", "resnet11", design, study="now")
    for asked in (["none", "se", "ras"], ["none", "eca"], ["none"]):
        with retraining(tmp_path, "now") as made:
            made.set_user_attr(ASKED, [["resnet11", design] for design in asked])
        first = asked[1] if len(asked) > 1 else "eca"
        assert str(find(str(folder), None, storage).design) == first


def test_a_study_that_was_only_begun_hides_no_run(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / JOURNAL).touch()
    assert storage.names() == ["begun"]
    with pytest.raises(UserError, match=f"no training of a study in .* has the MLflow id {'0' * 32}"):
        find("0" * 32, None, storage)


def test_designs_without_their_study_are_told_apart_by_the_user(study: Path, tmp_path: Path) -> None:
    (retraining,) = (study / "runs" / "it").glob("retrain-*")
    for design in ("none", "ras", "se"):
        shutil.copytree(retraining / f"resnet11-{design}", tmp_path / "moved" / design)
    storage = Storage(str(tmp_path))
    with pytest.raises(UserError, match="several designs; say which by --design: none; ras; se"):
        find(str(tmp_path / "moved"), None, storage)
    assert find(str(tmp_path / "moved"), "ras", storage).design == Design("ras")
    shutil.rmtree(tmp_path / "moved" / "ras")
    assert find(str(tmp_path / "moved"), None, storage).design == Design("se")
    shutil.rmtree(tmp_path / "moved" / "se")
    assert find(str(tmp_path / "moved"), None, storage).design == Design()


def test_with_pretrained_weights_a_design_is_found_as_it_was_typed(tmp_path: Path) -> None:
    write(tmp_path / "it" / "a", "resnet11", "se:start=unit")
    write(tmp_path / "it" / "b", "resnet11", "none")
    assert find(str(tmp_path / "it"), "se", Storage(str(tmp_path))).design == Design("se", start="unit")
    write(tmp_path / "it" / "c", "resnet11", "se")
    assert find(str(tmp_path / "it"), "se", Storage(str(tmp_path))).design == Design("se")


def test_a_design_in_two_backbones_is_told_apart_by_the_user(tmp_path: Path) -> None:
    write(tmp_path / "it" / "a", "resnet11", "se")
    write(tmp_path / "it" / "b", "preresnet11", "se")
    with pytest.raises(UserError, match=r"several backbones; name a folder instead: .*a or .*b"):
        find(str(tmp_path / "it"), "se", Storage(str(tmp_path)))


def test_what_is_not_there_is_told_with_what_is(search: Search, study: Path, here: Path) -> None:
    ended = search("export", "nosuch")
    assert ended.code == 2
    assert "no study in" in ended.err
    assert "`search launch` and `search retrain`" in ended.err
    with pytest.raises(UserError, match="no weights 'nosuch'; there are it/retrain-"):
        found(study, "nosuch")
    shutil.copytree(study / "runs" / "it", here / "runs" / "it", ignore=shutil.ignore_patterns("retrain-*"))
    assert "no retraining of it is complete yet; search retrain it" in search("export", "it").err
    assert "nothing is retrained yet: search retrain it" in search("export", "nosuch").err
    assert not (here / "export").exists()
