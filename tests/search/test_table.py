"""A table of curves: its file, what a search sees of it, and what it is judged by."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from search.replay import Replay
from search.table import Table, halves, truth
from search.trials import Failure, FailureKind, Job, State, Trial
from space.design import Design
from space.errors import UserError

NONE, SE = Design(), Design.parse("se:reduction=8")
NAN = float("nan")


@pytest.fixture
def table() -> Table:
    """Two designs, four seeds, three epochs; the second design failed in the second epoch of its last training."""
    curves = (np.arange(24).reshape(2, 4, 3) / 100).astype(np.float32)
    curves[1, 3, 1:] = NAN
    return Table(
        designs=(NONE, SE),
        val_accuracy=curves,
        seconds=np.array([[3.0, 6.0, 9.0, 12.0], [3.0, 3.0, 3.0, 5.0]]),
        costs={"num_params": np.array([100, 200]), "fps": np.array([50.0, 40.5]), "macs": np.array([7, 8])},
        settings={"seed": 0, "name": "tiny"},
    )


def test_a_table_comes_back_as_it_was_saved(table: Table, tmp_path: Path) -> None:
    table.save(tmp_path / "folder" / "it.table")
    again = Table.load(tmp_path / "folder" / "it.table")

    assert again.designs == table.designs
    assert again.settings == table.settings
    np.testing.assert_array_equal(again.val_accuracy, table.val_accuracy)
    np.testing.assert_array_equal(again.seconds, table.seconds)
    assert again.costs_of(SE) == table.costs_of(SE) == {"num_params": 200, "fps": 40.5, "macs": 8}
    assert again.seeds == 4
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["it.table"]


def test_numpy_reads_the_file_without_pickle_and_finds_the_stated_arrays(table: Table, tmp_path: Path) -> None:
    table.save(tmp_path / "table.npz")
    with np.load(tmp_path / "table.npz", allow_pickle=False) as file:
        arrays = dict(file)

    assert list(arrays["design"]) == ["none", "se:reduction=8"]
    assert (arrays["val_accuracy"].shape, arrays["val_accuracy"].dtype) == ((2, 4, 3), np.float32)
    assert np.isnan(arrays["val_accuracy"][1, 3]).tolist() == [False, True, True]
    assert arrays["num_params"].tolist() == [100, 200]
    assert arrays["fps"].tolist() == [50.0, 40.5]
    assert arrays["seconds"].shape == (2, 4)
    assert json.loads(str(arrays["settings"])) == table.settings


def test_a_torn_file_is_told_in_a_line(table: Table, tmp_path: Path) -> None:
    path = tmp_path / "table.npz"
    table.save(path)
    content = path.read_bytes()
    for size in (0, 1, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises(UserError, match=r"table.npz is torn, or no table of curves") as error:
            Table.load(path)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("val_accuracy", None, "no val_accuracy"),
        ("seconds", None, "no seconds"),
        ("settings", None, "no settings"),
        ("settings", np.array("{"), "no table of curves"),
        ("settings", np.array("[]"), "settings are no object"),
        ("design", np.array(["none", "foo"]), "no attention 'foo'"),
        ("design", np.array(["none", "none"]), "a design twice"),
        ("design", np.array(["none", {}], dtype=object), "torn, or no table"),
        ("seconds", np.zeros((2, 3)), r"seconds has the shape \(2, 3\)"),
        ("num_params", np.zeros(3), r"num_params has the shape \(3,\)"),
        ("fps", np.array([NAN, 1.0]), "fps has what is no finite number"),
        ("macs", np.array(["many", "few"]), "macs has what is no finite number"),
        ("val_accuracy", np.zeros((2, 4, 3), int), "val_accuracy is int64"),
        ("val_accuracy", np.zeros((2, 4, 0)), r"not \(designs, seeds, epochs\)"),
    ],
)
def test_a_foreign_file_is_told_in_a_line(table: Table, tmp_path: Path, name: str, value: Any, words: str) -> None:
    path = tmp_path / "table.npz"
    table.save(path)
    with np.load(path) as file:
        arrays = {**file, name: value}
    np.savez(path, allow_pickle=True, **{key: array for key, array in arrays.items() if array is not None})
    with pytest.raises(UserError, match=words) as error:
        Table.load(path)
    assert "\n" not in str(error.value)


def test_a_file_of_one_array_or_none_is_no_table(tmp_path: Path) -> None:
    np.save(tmp_path / "array.npy", np.zeros(3))
    for name, words in (("array.npy", "no table of curves"), ("missing.npz", "search tabulate"), (".", "no table")):
        with pytest.raises(UserError, match=words):
            Table.load(tmp_path / name)


def test_a_file_that_cannot_be_written_is_told_in_a_line(table: Table, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"):
        table.save(tmp_path / "file" / "table.npz")


def trial(design: Design, seed: int, accuracies: list[float], failure: Failure | None = None) -> Trial:
    history = tuple(
        {"epoch": epoch, "val_accuracy": accuracy, "seconds": 2.0} for epoch, accuracy in enumerate(accuracies, start=1)
    )
    job = Job(backbone="tiny", design=design, seed=seed, costs={})
    state = State.COMPLETE if failure is None else State.FAILED
    when = datetime(2026, 1, 1)
    return Trial(number=0, state=state, job=job, history=history, failure=failure, started=when)


def test_a_table_is_made_of_trials_in_any_order_and_a_training_that_failed_ends_in_nan() -> None:
    costs = {("tiny", NONE): {"num_params": 1, "fps": 9.0}, ("tiny", SE): {"num_params": 2, "fps": 8.0}}
    trials = [
        trial(SE, 1, [0.25], Failure(kind=FailureKind.NAN, reason="loss is nan")),
        trial(NONE, 1, [0.5, 0.75]),
        trial(NONE, 7, [1.0, 1.0]),
        trial(Design.parse("eca"), 0, [1.0, 1.0]),
        trial(SE, 0, [0.125, 0.375]),
    ]
    table = Table.of(trials, costs, seeds=2, epochs=2, settings={})

    assert table.designs == (NONE, SE)
    np.testing.assert_array_equal(
        table.val_accuracy, np.array([[[NAN, NAN], [0.5, 0.75]], [[0.125, 0.375], [0.25, NAN]]], np.float32)
    )
    np.testing.assert_array_equal(table.seconds, [[0, 4], [4, 2]])
    assert table.costs_of(SE) == {"num_params": 2, "fps": 8.0}


def test_the_halves_are_disjoint_and_all_and_depend_on_the_seed_alone() -> None:
    orders = set()
    for seed in range(20):
        seen, judges = halves(12, seed)
        assert sorted(seen + judges) == list(range(12))
        assert len(seen) == len(judges) == 6
        assert halves(12, seed) == (seen, judges)
        orders.add(seen)
    assert len(orders) > 10
    seen, judges = halves(5, 0)
    assert (len(seen), len(judges)) == (2, 3)


def test_the_truth_is_the_mean_at_the_end_over_the_seeds_not_seen_and_a_design_that_failed_has_none(
    table: Table,
) -> None:
    for seed in range(5):
        _, judges = halves(4, seed)
        plain, failed = truth(table, seed)
        assert plain == pytest.approx(np.mean([table.val_accuracy[0, column, 2] for column in judges]))
        assert math.isnan(failed)


def test_the_truth_does_not_depend_on_what_the_search_sees(table: Table) -> None:
    seen, judges = halves(4, 0)
    changed = table.val_accuracy.copy()
    changed[0, seen] = 0.0
    assert truth(replace(table, val_accuracy=changed), 0)[0] == truth(table, 0)[0]
    changed[0, judges[0], 2] += 0.5
    assert truth(replace(table, val_accuracy=changed), 0)[0] == pytest.approx(truth(table, 0)[0] + 0.25)


def test_a_replayed_training_follows_its_curve_and_shares_out_its_seconds(table: Table) -> None:
    column: Callable[[int], int] = {123: 2}.__getitem__
    training = Replay(table, column)("any", SE, 123)
    reports = []
    while not training.done:
        reports.append(training.step())

    assert [report["epoch"] for report in reports] == [1, 2, 3]
    assert [report["val_accuracy"] for report in reports] == table.val_accuracy[1, 2].tolist()
    assert [report["seconds"] for report in reports] == [1.0, 1.0, 1.0]


def test_a_replayed_training_fails_where_the_recorded_one_did(table: Table) -> None:
    training = Replay(table, lambda seed: 3)("any", SE, 0)
    assert training.step()["seconds"] == 5.0
    with pytest.raises(FloatingPointError, match="epoch 2"):
        training.step()


def test_a_replayed_training_is_resumable(table: Table) -> None:
    evaluate = Replay(table, lambda seed: seed)
    first, second = evaluate("any", NONE, 1), evaluate("any", NONE, 1)
    first.step()
    second.load_state_dict(first.state_dict())
    assert second.step() == first.step()
