"""Costs as parts: what may be registered, typed as an objective or a limit, and what follows from that."""

import itertools
import re
from pathlib import Path

import pytest

from pipelines.running.costs import costs_of
from pipelines.settings.limits import limits_typed, parse_limit
from pipelines.settings.objectives import parse_objectives
from search.storage import Storage
from space.cost import Limit
from space.design import Design
from space.errors import UserError
from tests.objectives import FPS, PARAMS
from tests.pipelines.conftest import Search, mlflow_runs
from trainers.costs import COSTS, Cost, MeasuredCost
from trainers.deployment import Deployment
from trainers.task import Task

TASK = Task(10, (3, 32, 32))
OURS = ("params", "macs", "fps", "latency", "memory")


class Letters(Cost):
    """The length of a design's text."""

    words = "letters"

    def of(self, backbone: str, design: Design) -> int:
        return len(str(design))


class Unmeasured(MeasuredCost):
    """One that says that it is measured, and not how."""

    def of(self, backbone: str, design: Design) -> float:
        return 1.0


def test_ours_are_registered_as_others_are_and_known_of_every_design() -> None:
    assert [cost.quantity.key for cost in COSTS.values()] == ["num_params", "macs", "fps", "latency", "memory"]
    assert tuple(COSTS) == OURS
    assert [cost.quantity.better for cost in COSTS.values()] == ["less", "less", "more", "less", "less"]


def test_each_cost_is_counted_when_it_is_first_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[str] = []

    def count(cost: Cost, backbone: str, design: Design) -> float:
        counted.append(f"{cost.quantity.name} of {backbone} {design}")
        return 1.0

    prepared = {name: COSTS[name](TASK, Deployment()) for name in ("params", "macs")}
    for cost in prepared.values():
        monkeypatch.setattr(type(cost), "of", count)
    costs = costs_of([("resnet20", Design()), ("resnet20", Design("se"))], prepared)
    assert not counted
    assert costs["resnet20", Design("se")]["num_params"] == 1.0
    assert counted == ["params of resnet20 se"]
    assert costs["resnet20", Design()] == {"num_params": 1.0, "macs": 1.0}
    assert counted[1:] == ["params of resnet20 none", "macs of resnet20 none"]


@pytest.mark.usefixtures("registries")
def test_a_class_says_what_its_quantity_is() -> None:
    COSTS.register("letters")(Letters)
    quantity = COSTS["letters"].quantity
    assert (quantity.name, quantity.key, quantity.words, quantity.better) == ("letters", "letters", "letters", "less")
    assert COSTS["letters"](TASK, Deployment()).of("resnet20", Design("se")) == 2


@pytest.mark.usefixtures("registries")
@pytest.mark.parametrize(
    ("name", "cost", "says"),
    [
        ("fps", Letters, "there is a cost 'fps' already"),
        ("a-b", Letters, "a name is a letter"),
        ("design", Letters, "means something else"),
        ("num_params", Letters, "means something else"),
        ("gain", Letters, "means something else"),
        ("macro_f1", Letters, "means something else"),
        ("val_letters", Letters, "means something else"),
        ("letters", Unmeasured, "lacks conditions, has, of_networks, prepare, restore, to_json"),
        ("letters", Design, "a class derived from Cost"),
        ("letters", Cost, "lacks of"),
    ],
)
def test_what_is_no_cost_of_its_own_is_refused(name: str, cost: type, says: str) -> None:
    with pytest.raises(UserError, match=says):
        COSTS.register(name)(cost)
    assert tuple(COSTS) == OURS


@pytest.mark.parametrize(
    ("text", "metric", "expected"),
    [
        (None, None, (None, None)),
        (None, "macro_f1", ("macro_f1", None)),
        ("accuracy,params,fps", None, ("accuracy", ("params", "fps"))),
        ("macs", None, (None, ("macs",))),
        (" fps , macro_f1", None, ("macro_f1", ("fps",))),
        ("macro_f1,fps", "macro_f1", ("macro_f1", ("fps",))),
    ],
)
def test_objectives_are_a_metric_and_costs_in_any_order(
    text: str | None, metric: str | None, expected: tuple[str | None, tuple[str, ...] | None]
) -> None:
    assert parse_objectives(text, metric) == expected


@pytest.mark.parametrize(
    ("text", "metric", "says"),
    [
        ("accuracy,size", None, "no 'size'; there are accuracy, .* params"),
        ("accuracy,macro_f1,fps", None, "one metric is wanted"),
        ("accuracy,fps", "macro_f1", "one metric is wanted"),
        ("accuracy", None, "one cost or several"),
        ("fps,fps", None, "each once"),
        ("", None, "one cost or several"),
    ],
)
def test_other_objectives_are_one_line(text: str, metric: str | None, says: str) -> None:
    with pytest.raises(UserError, match=says):
        parse_objectives(text, metric)


def test_a_limit_names_a_cost_and_how_far_it_may_go() -> None:
    assert parse_limit("fps>=5k") == Limit(FPS, 5000, "--limit fps>=5k")
    assert parse_limit(" params <= 1.5M ").bound == 1_500_000
    assert (parse_limit("params<=0").bound, parse_limit("fps>=0.25").bound) == (0, 0.25)
    assert [(it.quantity, it.bound) for it in limits_typed(["fps>=5k"], "1.5M", "2k")] == [
        (FPS, 5000),
        (PARAMS, 1_500_000),
        (FPS, 2000),
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("fps", "a limit such as"),
        ("fps>5k", "a limit such as"),
        ("speed>=5k", "no cost 'speed'; there are params, macs, fps"),
        ("fps<=5k", "more of fps is better; a limit is 'fps>=5k'"),
        ("params>=5k", "less of params is better; a limit is 'params<=5k'"),
        ("params<=many", "a number such as"),
        ("params<=-1", "a number such as"),
    ],
)
def test_other_limits_are_one_line(text: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        parse_limit(text)


def test_each_cost_among_the_objectives_has_a_front_everywhere(launch: Search, search: Search) -> None:
    ended = launch("--budget", "4", "--objectives", "accuracy,macs", "--limit", "macs<=100M", "--json")
    assert ended.code == 0, ended.err
    best = ended.json["macs"]
    assert {"params", "fps"}.isdisjoint(ended.json)
    assert all({"macs", "relative_macs"} <= row.keys() and "fps" not in row for row in best)
    assert all(a["macs"] > b["macs"] for a, b in itertools.pairwise(best))

    shown = search("front")
    assert "accuracy against MACs" in shown.out
    assert "vs plain" in shown.out
    assert search("front", "--json").json == {"macs": best}
    (run,) = mlflow_runs("search")
    assert run.data.metrics["front_macs"] == len(best)
    children = mlflow_runs()
    assert {"num_params", "macs", "fps"} <= set(children[0].data.metrics)  # known of all, whatever is traded
    assert sum(child.data.tags["on_front_macs"] == "true" for child in children) == len(best)


def test_a_study_keeps_its_objectives_and_other_ones_are_another_study(launch: Search, search: Search) -> None:
    launch("--budget", "1", "--study", "mine", "--objectives", "macro_f1,params")
    ended = search("launch", "--study", "mine", "--budget", "2", "--objectives", "macro_f1,fps")
    assert ended.code == 2
    assert "made with --objectives macro_f1,params" in ended.err
    assert search("launch", "--study", "mine", "--budget", "2", "--engine", "local", "--json").json["trials"] == 2


TIMED = """
from trainers.costs import COSTS, MeasuredCost

MEASURED = []


@COSTS.register("lat")
class Latency(MeasuredCost):
    unit = "ms"
    known = {}
    conditions = {"device": "a clock"}

    def has(self, candidates):
        return all(str(design) in self.known for _, design in candidates)

    def prepare(self, candidates):
        MEASURED.append(len(MEASURED))
        texts = [str(design) for _, design in candidates]
        self.known = {text: 0.0001 * (len(text) + 10 * len(MEASURED)) for text in texts} | self.known

    def of(self, backbone, design):
        return self.known[str(design)]

    def of_networks(self, networks):
        return dict.fromkeys(networks, 0.5)

    def to_json(self):
        return self.known

    def restore(self, table):
        self.known = {**self.known, **table}
"""


@pytest.mark.usefixtures("registries")
def test_what_was_measured_once_is_kept_whenever_it_is_first_asked_for(
    launch: Search, search: Search, here: Path
) -> None:
    (here / "lat.py").write_text(TIMED)
    mine = ("--study", "mine", "--plugin", "lat.py")
    launch("--budget", "1", *mine)
    for budget in ("2", "3"):
        ended = launch("--budget", budget, *mine, "--limit", "lat<=0.5", "--json")
        assert ended.code == 0, ended.err
    trials = Storage("runs").read("mine").trials
    assert [trial.job.costs.get("lat") for trial in trials if str(trial.job.design) == "none"] == [None]
    first = [pytest.approx(0.0001 * (len(str(trial.job.design)) + 10)) for trial in trials[1:]]
    assert [trial.job.costs["lat"] for trial in trials[1:]] == first
    shown = search("profile", "se", "--plugin", "lat.py", "--channels", "1", "--json").json
    assert shown["lat"] == 0.5
    assert shown["lat_conditions"] == {"device": "a clock"}


@pytest.mark.usefixtures("registries")
@pytest.mark.parametrize(
    ("returned", "says"),
    [
        ("1 / 0", "cost 'odd' of .* raises ZeroDivisionError"),
        ("float('nan')", "cost 'odd' of .* is nan"),
        ("'large'", "cost 'odd' of .* raises ValueError"),
    ],
)
def test_a_plugins_cost_that_gives_no_number_is_told_in_a_line(
    launch: Search, search: Search, here: Path, returned: str, says: str
) -> None:
    (here / "odd.py").write_text(
        "from trainers.costs import COSTS, Cost\n\n\n@COSTS.register('odd')\nclass Odd(Cost):\n"
        f"    def of(self, backbone, design):\n        return {returned}\n"
    )
    for ended in (
        launch("--plugin", "odd.py", "--objectives", "odd"),
        search("profile", "se", "--plugin", "odd.py", "--channels", "1", "--no-measuring"),
    ):
        assert ended.code == 2
        assert re.search(says, ended.err)
        assert "Traceback" not in ended.err
    assert not (here / "runs").exists()


@pytest.mark.usefixtures("registries")
def test_numbers_of_any_kind_are_kept_as_pythons(launch: Search, here: Path) -> None:
    (here / "kinds.py").write_text(
        "import numpy as np\nfrom trainers.costs import COSTS, Cost\n\n\n@COSTS.register('kinds')\nclass Kinds(Cost):\n"
        "    def of(self, backbone, design):\n        return (np.float32(0.5), np.int64(3))[len(str(design)) % 2]\n"
    )
    ended = launch("--plugin", "kinds.py", "--objectives", "kinds", "--budget", "4", "--json")
    assert {row["kinds"] for row in ended.json["kinds"]} <= {0.5, 3}
