"""A field of a dataclass is an option: its flag, its help, and its key in a config file."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.models import OptionInfo

from pipelines.cli import COMMANDS
from pipelines.settings.command_line import as_command
from pipelines.settings.config import read_config, write_config
from pipelines.settings.fields import Field, built, fields_of, flag, opposite, values_of
from pipelines.settings.meant import meant
from pipelines.settings.options.launch import LaunchOptions
from pipelines.settings.options.shared import RunOptions
from pipelines.settings.options.task import TaskOptions
from pipelines.settings.resolve import resolve
from pipelines.settings.spelled_out import spelled_out
from pipelines.settings.study import Settings
from search.storage import Storage
from space import UserError
from tests.pipelines.commands.test_bad_input import assert_one_line
from tests.pipelines.conftest import Search, write_folder
from trainers.source import Source

Values = dict[str, Any]

NEEDED: dict[str, Values] = {
    "compare": {"designs": ["ras"]},
    "export": {"run": "weights"},
    "predict": {"run": "weights", "images": ["0.png"]},
    "reproduce": {"name": "ras-table1"},
}
"""What a command does not go without, or most of its options do not."""
TOGETHER: dict[str, Values] = {"all": {"params_only": True, "name": None}}
"""What goes with an option alone."""
TAKEN: dict[str, tuple[Any, Any]] = {
    "engine": ("ray", "local"),
    "device": ("cpu", "cuda"),
    "metric": ("macro_f1", "accuracy"),
    "normalise": ("measured", "imagenet"),
    "recipe": ("ras", "digits"),
    "time_limit": ("2h", "30m"),
    "trial_timeout": ("2h", "30m"),
    "cache_limit": ("2G", "0"),
    "max_params": ("1M", "300k"),
    "min_fps": ("5k", "500"),
    "limit": ("fps>=5k", "params<=1M"),
    "objectives": ("macro_f1,fps", "params,macs"),
    "design": ("se", "eca"),
    "designs": ("se", "eca"),
    "enqueue": ("se", "eca"),
    "on": ("train", "train+val"),
    "plugin": ("one.py", "two.py"),
    "gpus_per_trial": (0.5, 1.0),
    "grace": ("10s", "1m"),
    "checkpoint_every": ("10s", "1m"),
    "rungs": ("0.25,0.5", "0.1"),
    "form": ("eager", "compiled"),
    "dtype": ("bfloat16", "float32"),
    "reduction_factor": (2.0, 4.0),
}
"""Two values of each option that does not take every one of its type."""
ANY = {bool: (True, False), int: (7, 8), float: (0.25, 0.75), str: ("some", "other"), Path: ("here/it", "there/it")}


def test_every_option_of_every_command_is_in_its_help(search: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    for command, options in COMMANDS.items():
        shown = search(command, "--help").out
        assert "--config" in shown
        for field in fields_of(options).values():
            line = next(line for line in shown.splitlines() if field.says.help and field.says.help in line)
            named = flag(field.name) if isinstance(field.says, OptionInfo) else field.name
            assert re.search(rf"{named}\b", line), (command, field.name)


def two_values(field: Field) -> tuple[Any, Any]:
    one, several = field.one
    values = TAKEN.get(field.name, ANY[one])
    if several and field.name in ("plugin", "design", "limit", "enqueue") and not isinstance(values[0], list):
        return [values[0], values[1]], [values[1]]
    return ([values[0]], [values[1]]) if several else values


def typed(values: Values, fields: dict[str, Field]) -> Iterator[str]:
    """The words of a command that say this."""
    for name, value in values.items():
        says = fields[name].says
        for each in value if isinstance(value, list) else [value]:
            if not isinstance(says, OptionInfo):
                yield str(each)
            elif isinstance(each, bool):
                both = says.default if isinstance(says.default, str) else f"{flag(name)}/{opposite(name)}"
                yield both.split("/")[not each]
            else:
                yield from (flag(name), str(each))


def said(command: str, values: Values, file: Values | None = None) -> Any:
    """The options of a command when one types this, with a config file that has that."""
    found: list[Any] = []

    def run(options: Any) -> int:
        found.append(options)
        return 0

    app = typer.Typer(add_completion=False)
    app.command(command)(as_command(COMMANDS[command], run))
    arguments = list(typed(values, fields_of(COMMANDS[command])))
    if file is not None:
        Path("config.toml").write_text(
            "".join(f"{key.rstrip('_')} = {json.dumps(value)}\n" for key, value in file.items())
        )
        arguments += ["--config", "config.toml"]
    app(arguments, standalone_mode=False)
    return found[0]


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with plug-ins that register nothing."""
    monkeypatch.chdir(tmp_path)
    for name in TAKEN["plugin"]:
        (tmp_path / name).write_text(f"# {name}")
    return tmp_path


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_says_what_one_types(command: str) -> None:
    for name, field in fields_of(COMMANDS[command]).items():
        value, _ = two_values(field)
        together = {**NEEDED.get(command, {}), **TOGETHER.get(name, {}), name: value}
        values = {key: value for key, value in together.items() if value is not None}

        by_file = said(command, {}, values)
        assert by_file == said(command, values), name
        assert by_file == said(command, {}, {flag(key)[2:]: value for key, value in values.items()})
        one, several = field.one
        assert values_of(by_file)[name] == (tuple(map(one, value)) if several else one(value))
        assert built(COMMANDS[command], values_of(by_file)) == by_file


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_typed_wins_over_the_file(command: str) -> None:
    for name, field in fields_of(COMMANDS[command]).items():
        of_file, of_user = two_values(field)
        needed = {**NEEDED.get(command, {}), name: of_user}
        assert said(command, needed, {name: of_file}) == said(command, needed), name


def test_the_rule_is_said_then_frozen_then_default() -> None:
    frozen = object.__new__(Settings)
    object.__setattr__(frozen, "seed", 3)
    assert meant(0, frozen, "seed", 5) == 0
    assert meant(None, frozen, "seed", 5) == 3
    assert meant(None, None, "seed", 5) == 5


def test_a_study_refuses_what_a_file_says_otherwise(launch: Search, search: Search, here: Path) -> None:
    launch("--study", "mine", "--budget", "1", "--seed", "3")
    (here / "config.toml").write_text('study = "mine"\nseed = 4')
    assert_one_line(search, here, ["launch", "--config", "config.toml"], "study mine was made with --seed 3")
    assert launch("--config", "config.toml", "--seed", "3", "--budget", "1").code == 0


def test_a_file_may_say_one_for_a_list_and_a_number_for_its_text(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("max_params = 300000\nlimit = 'fps>=5k'")
    found = read_config(tmp_path / "config.toml", "launch", fields_of(COMMANDS["launch"]))
    assert found == {"max_params": "300000", "limit": ["fps>=5k"]}


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("budgte = 3", ["no option 'budgte' of `search launch`", "there are budget, max_epochs"]),
        ("config = 'other.toml'", ["no option 'config'"]),
        ("run = 3", ["no option 'run'"]),
        ("[launch]\nbudget = 3", ["no option 'launch'"]),
        ('budget = "3"', ['budget = "3"', "a whole number"]),
        ("budget = true", ["budget = true", "a whole number"]),
        ("budget = 3.5", ["budget = 3.5", "a whole number"]),
        ("max-params = true", ["max-params = true", "a text"]),
        ("learning_rate = '0.1'", ["learning_rate", "a number"]),
        ("no_augmentation = 1", ["no_augmentation = 1", "true or false"]),
        ("plugin = [1]", ["plugin = [1]", "a text"]),
        ("dataset = ['digits']", ["dataset", "a text is wanted"]),
        ("seed = 1979-05-27", ["1979-05-27", "a whole number"]),
        ("seed", ["not TOML"]),
    ],
)
def test_a_config_file_with_a_mistake(search: Search, here: Path, toml: str, words: list[str]) -> None:
    (here / "config.toml").write_text(toml)
    assert_one_line(search, here, ["launch", "--config", "config.toml"], "config.toml: ", *words)


def test_what_an_option_refuses_it_refuses_from_a_file(search: Search, here: Path) -> None:
    (here / "config.toml").write_text("budget = 0")
    assert_one_line(search, here, ["launch", "--config", "config.toml"], "--budget 0")
    assert_one_line(search, here, ["launch", "--config", "nosuch.toml"], "--config nosuch.toml")
    assert_one_line(search, here, ["launch", "--save-config", "tiny.toml/it", "--engine", "local"], "tiny.toml/it")


def test_the_arguments_of_a_command_may_stand_in_its_file(search: Search, here: Path) -> None:
    (here / "config.toml").write_text('designs = "ras"\nbackbone = "resnet164"\nnum-classes = 100\nno-measuring = true')
    result = search("profile", "--config", "config.toml", "--json").json
    assert (result["design"], result["num_params"]) == ("ras", 1_759_540)
    assert search("profile", "none", "--config", "config.toml", "--json").json["design"] == "none"


@pytest.mark.parametrize("name", ["no-measuring", "no-fps"])
def test_an_option_goes_by_each_of_its_names(search: Search, here: Path, name: str) -> None:
    (here / "config.toml").write_text(f"{name} = true")
    typed, read = (search("profile", *how, "--json").json for how in ([f"--{name}"], ["--config", "config.toml"]))
    assert "fps" not in typed
    assert read == typed
    yes = name.replace("no-", "--")
    assert (
        "fps"
        in search("profile", "--config", "config.toml", yes, "--channels", "1", "--image-size", "8", "--json").json
    )


SAID: tuple[Values, ...] = (
    {},
    {"backbone": "resnet11,resnet20", "epochs": 3, "metric": "macro_f1"},
    {"dataset": "folder:images", "image_size": 12, "recipe": "fine-tune", "batch_size": 4},
    {"dataset": "folder:images", "batch_size": 4, "groups": Path("groups.csv"), "normalise": "imagenet"},
    {"backbone": "net.py:make", "gate_at": r"stages\.([012])\.\d{1,2}\.bn2", "no_augmentation": True, "flip": True},
    {"dataset": "folder:images", "batch_size": 4, "resized_crop": True, "class_weights": True, "compile": True},
    {"learning_rate": 0.03, "mixed_precision": True},
)


def settings_of(options: LaunchOptions) -> tuple[Settings, Source]:
    return resolve(options.task, options.run, space=options.space, seed=options.seed)


@pytest.mark.parametrize("values", SAID, ids=lambda values: " ".join(values) or "nothing")
def test_options_spelled_out_mean_the_same_in_another_folder(
    here: Path, values: Values, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder(here / "images")
    (here / "groups.csv").write_text(
        "file,group\n" + "".join(f"class{n % 2}/{n // 2}.png,{n // 4}\n" for n in range(20))
    )
    (here / "net.py").write_text(
        "from space.backbones import backbone\n\n\ndef make():\n    return backbone('resnet20').make(1, 10)\n"
    )
    options = LaunchOptions(task=TaskOptions(**values, objectives="fps,macs"), space="tiny.toml", seed=2)
    settings, source = settings_of(options)

    silent = LaunchOptions(study="mine")  # all is frozen in the study
    for written in (spelled_out(options, settings, source), replace(spelled_out(silent, settings, source), study=None)):
        (here / "elsewhere").mkdir(exist_ok=True)
        monkeypatch.chdir(here / "elsewhere")
        again, _ = settings_of(written)
        monkeypatch.chdir(here)
        assert again == replace(settings, space_name=again.space_name)
        assert again.study_name() == settings.study_name()


def test_a_saved_config_names_the_same_study_in_another_folder(
    launch: Search, search: Search, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["--dry-run", "--seed", "3", "--train-size", "300", "--budget", "7", "--json"]
    first = launch(*arguments, "--max-params", "300k", "--save-config", "saved/search.toml").json
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")

    again = search("launch", "--config", "../saved/search.toml", "--dry-run", "--json").json
    assert {**again, "estimated_seconds": first["estimated_seconds"]} == first
    assert list(Path().iterdir()) == []


def test_a_saved_config_has_no_password_and_says_so(launch: Search, here: Path) -> None:
    ended = launch("--dry-run", "--tracking-uri", "https://me:hunter2@host", "--save-config", "search.toml")
    assert "--tracking-uri has a password" in ended.err
    assert "hunter2" not in ended.err + (here / "search.toml").read_text()
    assert "tracking_uri" not in (here / "search.toml").read_text()


def test_options_can_be_made_without_a_command_line() -> None:
    assert LaunchOptions().run == RunOptions()
    with pytest.raises(UserError, match="--epochs 0"):
        LaunchOptions(task=TaskOptions(epochs=0))


NAMES = ("digits-1", "digits-1/retrain-2", "compare/digits-3", "reproduce/ras-table1/digits-4")


@pytest.mark.parametrize("where", ["runs", "sqlite:///studies.db"])
def test_status_lists_all_kinds_and_takes_each_name(search: Search, here: Path, where: str) -> None:
    storage = Storage(where)
    for name in NAMES:
        with storage.writing(name, ("maximize",), {"uid": name}) as study:
            study.set_user_attr("budget", 3)

    listed = search("status", "--storage", where, "--json").json
    kinds = {"digits-1": "search", NAMES[1]: "retrain", NAMES[2]: "compare", NAMES[3]: "reproduce"}
    assert {study["study"]: study["kind"] for study in listed} == kinds
    table = search("status", "--storage", where).out
    for study in listed:
        one = search("status", study["study"], "--storage", where, "--json").json
        assert one == {name: value for name, value in study.items() if name != "kind"}
        assert one["budget"] == 3
        assert study["study"] in table
    assert_one_line(search, here, ["status", "nosuch", "--storage", where], "no study 'nosuch'", *NAMES)


def test_a_saved_config_is_read_again_with_every_name(here: Path) -> None:
    options = LaunchOptions(from_="before", enqueue=("se", "ras"), max_epochs=100)
    write_config(here / "search.toml", options)
    found = read_config(here / "search.toml", "launch", fields_of(LaunchOptions))
    assert (found["from_"], found["enqueue"], found["max_epochs"]) == ("before", ["se", "ras"], 100)
