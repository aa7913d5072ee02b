"""`search calibrate`: a file of what parts of networks take on a device, here or elsewhere, and searches for that."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from search.storage import Storage
from tests.pipelines.conftest import Search

IT = ("--space", "tiny.toml", "--backbone", "resnet11", "--channels", "1", "--image-size", "8")
QUICK = ("--epochs", "1", "--train-size", "60", "--engine", "local", "--budget", "2")
LAUNCH: tuple[str, ...] = ("launch", "--study", "mine", "--space", "tiny.toml", "--backbone", "resnet11", *QUICK)


def table(path: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(path.read_text())
    return read


def test_a_search_for_a_device_measures_nothing_and_tells_its_figures(search: Search, here: Path) -> None:
    assert search("calibrate", *IT, "--form", "eager").code == 0
    there = table(here / "device.json")
    for cost in there["costs"].values():
        cost["conditions"]["device"] = "a tiny camera"
        cost["plain"] = {name: [10.0, 0.0] for name in cost["plain"]}
        cost["gates"] = {name: [1.0, 0.0] for name in cost["gates"]}
    (here / "device.json").write_text(json.dumps(there))
    ended = search(*LAUNCH, "--device-file", "device.json", "--objectives", "accuracy,params,latency")
    assert ended.code == 0, ended.err
    assert "measured in" not in ended.err
    record = Storage("runs").read("mine")
    settings = record.attributes["settings"]
    assert (settings["device_name"], settings["form"]) == ("a tiny camera", "eager")
    plain, other = (trial.job.costs for trial in record.trials)
    assert plain["latency"] == 10_000
    assert other["latency"] in (11_000, 12_000, 13_000)  # in one, two or three stages
    (here / "device.json").unlink()
    assert search(*LAUNCH, "--budget", "3").code == 0  # the study has what it needs


@pytest.mark.parametrize("form", ["folded", "onnxruntime"])
def test_what_is_packed_is_measured_without_this_program(search: Search, here: Path, form: str) -> None:
    if form == "onnxruntime":
        pytest.importorskip("onnxruntime")
    (here / "tiny.toml").write_text('attention = ["none", "se"]\ndepth = [1]\nstages = ["last"]')
    how = (*IT, "--form", form, "--costs", "fps" if form == "onnxruntime" else "fps,latency")
    assert search("calibrate", *how).code == 0
    assert search("calibrate", *how, "--pack", "packed").code == 0
    alone = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([sys.executable, "measure.py"], cwd=here / "packed", check=True, env=alone, capture_output=True)
    ours, theirs = table(here / "device.json"), table(here / "packed" / "device.json")
    assert {**ours, "costs": None} == {**theirs, "costs": None}
    for name, cost in ours["costs"].items():
        assert theirs["costs"][name]["conditions"] == cost["conditions"]
        for kind in ("plain", "gates"):
            assert theirs["costs"][name][kind].keys() == cost[kind].keys()
    assert search(*LAUNCH, "--device-file", "packed/device.json").code == 0


def test_files_of_something_else_are_refused_in_a_line(search: Search, here: Path) -> None:
    assert search("calibrate", *IT, "--costs", "fps", "--into", "fps.json").code == 0
    good = (here / "fps.json").read_text()
    large = good.replace('"shape": [\n  1,\n  8,\n  8\n ]', '"shape": [1, 32, 32]')
    assert large != good
    few = json.loads(good)
    few["costs"]["fps"]["gates"] = {}
    for name, text in {"large": large, "torn": good[:200], "few": json.dumps(few), "list": "[]"}.items():
        (here / f"{name}.json").write_text(text)
    for file, more, says in (
        ("large.json", (), "images of 1 x 32 x 32"),
        ("torn.json", (), "no device file"),
        ("list.json", (), "no device file"),
        ("missing.json", (), "cannot be read"),
        ("few.json", (), "lacks gates or networks"),
        ("fps.json", ("--objectives", "accuracy,latency"), "has no latency"),
        ("fps.json", ("--form", "eager"), "was measured with folded"),
    ):
        ended = search(*LAUNCH, "--device-file", file, *more)
        assert (ended.code, says in ended.err) == (2, True), ended.err
        assert not Storage("runs").exists("mine")
    for arguments, says in (
        (("--costs", "params"), "what can be measured so is fps, latency, memory"),
        (("--costs", "memory", "--pack", "packed"), "what can be measured so is fps, latency"),
        (("--pack", "."), "is there already"),
    ):
        ended = search("calibrate", *IT, *arguments)
        assert (ended.code, says in ended.err) == (2, True), ended.err
