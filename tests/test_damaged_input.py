"""Whatever is typed, and whatever lies in a file: it works, or is a mistake that is told in one line.

EXAMPLES=10000 pytest -n 2 tests/test_damaged_input.py      # a campaign; by default there are few, and the same ones
"""

import io
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save

from pipelines.settings.config import read_config
from pipelines.settings.fields import fields_of
from pipelines.settings.limits import parse_limit
from pipelines.settings.objectives import parse_objectives
from pipelines.settings.options.launch import LaunchOptions
from pipelines.settings.rungs import rungs_typed
from pipelines.terminal.formats import parse_count, parse_duration
from search.journal import JOURNAL
from search.storage import Storage
from search.table import Table
from search.trials import JOB, OUTCOME, Job
from space.backbones import backbone, chosen
from space.design import Design, Stage
from space.errors import UserError
from space.space_files import load_space
from space.state import read_state
from trainers.device_file import DeviceFile
from trainers.grouping import read_groups
from trainers.pictures import decode

SAID = os.environ.get("EXAMPLES")
settings.register_profile(
    "inputs",
    max_examples=int(SAID or 250),
    derandomize=SAID is None,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
INPUTS = settings.get_profile("inputs")

LAYOUTS = {"tiny": (Stage(1, 16), Stage(2, 32))}
SPACE = b"""attention = ["none", "se", "ras"]
stages = ["all", "2"]
[se]
reduction = [4, 16]
[ras]
depth = [1, 2]
start = ["published", "unit"]
"""
CONFIG = b"""budget = 20
space = "small"
confirm = 0.3
limit = ["fps>=5k", "params<=1.5M"]
dry-run = true
max_params = 300000
"""
DEVICE = {
    "format": 1,
    "num_classes": 10,
    "shape": [3, 32, 32],
    "costs": {"fps": {"conditions": {"device": "x"}, "plain": {"tiny": [0.1, 0.01]}, "gates": {"se": [0.2, 0.01]}}},
}


@contextmanager
def told_in_a_line() -> Iterator[None]:
    """What fails inside is a user's mistake, in one line."""
    says = "in one line"
    try:
        yield
    except UserError as error:
        says = str(error)
    assert len(says.splitlines()) == 1, says


def damaged(whole: bytes) -> st.SearchStrategy[bytes]:
    """These bytes cut short, or with some of them cut out, replaced or put in; and some of anything."""
    place = st.integers(0, len(whole))
    edits = st.lists(st.tuples(place, st.integers(0, 20), st.binary(max_size=12)), max_size=4)

    def edited(these: list[tuple[int, int, bytes]]) -> bytes:
        content = whole
        for at, gone, new in these:
            content = content[:at] + new + content[at + gone :]
        return content

    return st.one_of(edits.map(edited), place.map(lambda end: whole[:end]), st.binary(max_size=60))


@dataclass(frozen=True)
class Kind:
    """Of a file.

    Attributes:
        name: of a file of this kind.
        whole: what is in one.
        read: it.
    """

    name: str
    whole: bytes
    read: Callable[[Path], object]


def picture(form: str) -> bytes:
    """An image file."""
    file = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (12, 10, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, form)
    return file.getvalue()


def table() -> bytes:
    """Of two designs, two seeds and three epochs."""
    arrays = {
        "design": np.array(["none", "se:reduction=8"]),
        "val_accuracy": np.full((2, 2, 3), 0.5, np.float32),
        "seconds": np.ones((2, 2)),
        "num_params": np.array([100, 200]),
        "settings": np.array(json.dumps({"seed": 0})),
    }
    file = io.BytesIO()
    np.savez_compressed(file, allow_pickle=False, **arrays)
    return file.getvalue()


def saved(state: object) -> bytes:
    """By torch."""
    file = io.BytesIO()
    torch.save(state, file)
    return file.getvalue()


def read_anew(path: Path) -> object:
    """The state of a network."""
    read_state.cache_clear()
    return read_state(path)


WEIGHTS = {"layer.weight": torch.zeros(2, 3), "layer.bias": torch.zeros(2)}
FILES = [
    Kind("space.toml", SPACE, lambda path: load_space(path, LAYOUTS)),
    Kind("config.toml", CONFIG, lambda path: read_config(path, "launch", fields_of(LaunchOptions))),
    Kind("table.npz", table(), Table.load),
    Kind("device.json", json.dumps(DEVICE).encode(), DeviceFile.read),
    Kind(
        "groups.csv", b"file,group\na/1.png,one\n'a/2.png',two\n", lambda path: read_groups(path, path.parent, [], {})
    ),
    Kind("x.png", picture("png"), lambda path: decode(path, 8)),
    Kind("x.jpg", picture("jpeg"), lambda path: decode(path, 8)),
    Kind("x.gif", picture("gif"), lambda path: decode(path, 8)),
    Kind("x.tif", picture("tiff"), lambda path: decode(path, 8)),
    Kind("x.webp", picture("webp"), lambda path: decode(path, 8)),
    Kind("x.safetensors", save(WEIGHTS), read_anew),
    Kind("x.pt", saved({"state_dict": WEIGHTS}), read_anew),
]


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # which no user sees
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("kind", FILES, ids=lambda kind: kind.name)
def test_a_damaged_file_is_read_or_told_in_a_line(kind: Kind, tmp_path: Path) -> None:
    path = tmp_path / kind.name

    @INPUTS
    @given(content=damaged(kind.whole))
    def check(content: bytes) -> None:
        path.write_bytes(content)
        with told_in_a_line():
            kind.read(path)

    path.write_bytes(kind.whole)
    if kind.name != "groups.csv":  # whose files are not there
        kind.read(path)
    check()


WORDS = st.text(st.sampled_from("aeioruxs0129.,:;=<>/\\~-_+%()[]{}'\"\n\t\0é "), max_size=24)
TEXTS = st.one_of(
    st.text(max_size=40),
    WORDS,
    *(
        st.tuples(st.sampled_from(like), WORDS, st.sampled_from(like)).map("".join)
        for like in (
            ["", "ras:", "se:reduction=8,", "stages=23", "depth=2,", "connection=bn", "spa", "eca:kernel=", "9" * 400],
            ["", "fps>=", "params<=", "1e400", "5k", "latency<=", "nan", "inf", "-1"],
            ["", "1h", "30m", "9" * 500 + "d", "1.5s", "accuracy,", "params,", "fps"],
            ["", "torchvision/", "timm/", "resnet20", "file.py:", "package.module:", "resnet", "wrn"],
        )
    ),
)
PARSERS: dict[str, Callable[[str], object]] = {
    "design": lambda text: Design.parse(text).canonical(LAYOUTS["tiny"]),
    "limit": parse_limit,
    "count": lambda text: parse_count(text, "--max-params"),
    "duration": lambda text: parse_duration(text, "--time-limit"),
    "rungs": rungs_typed,
    "objectives": lambda text: parse_objectives(text, None),
    "study": lambda text: LaunchOptions(study=text),
    "enqueue": lambda text: LaunchOptions(enqueue=(text,)),
    "backbone": lambda text: backbone(chosen(text).name),
}


@pytest.mark.parametrize("what", PARSERS)
def test_whatever_is_typed_is_taken_or_told_in_a_line(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    @INPUTS
    @given(text=TEXTS)
    def check(text: str) -> None:
        with told_in_a_line():
            PARSERS[what](text)

    check()


@INPUTS
@given(name=TEXTS)
def test_no_name_leaves_the_folder_of_the_studies(name: str, tmp_path: Path) -> None:
    with told_in_a_line():
        LaunchOptions(study=name)
        folder = Storage(str(tmp_path / "runs")).folder(name)
        assert folder.parent == tmp_path / "runs"
        assert os.path.normpath(folder) == str(folder)


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Of a study of three trials."""
    root = tmp_path_factory.mktemp("runs")
    with Storage(str(root)).writing("study", ("maximize", "minimize"), {"uid": "x"}) as study:
        for number, design in enumerate(("none", "se:reduction=8", "eca")):
            handle = study.ask()
            job = Job(backbone="tiny", design=Design.parse(design), seed=0, costs={"num_params": 100 + number})
            handle.set_user_attr(JOB, job.to_json())
            history = {"epoch": [1.0, 2.0], "val_accuracy": [0.4, 0.5], "seconds": [1.0, 1.0]}
            handle.set_user_attr(OUTCOME, {"state": "complete", "worker": "here", "history": history})
            study.tell(handle, (0.5, 100.0 + number))
    return (root / "study" / JOURNAL).read_bytes()


def test_a_damaged_journal_is_read_or_told_in_a_line(journal: bytes, tmp_path: Path) -> None:
    path = tmp_path / "study" / JOURNAL
    path.parent.mkdir()

    @INPUTS
    @given(content=damaged(journal))
    def check(content: bytes) -> None:
        path.write_bytes(content)
        with told_in_a_line():
            storage = Storage(str(tmp_path))
            if storage.exists("study"):
                storage.read("study")

    check()
