"""What every engine has to keep to."""

import contextlib
import functools
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import optuna
import pytest

from search.checkpoints import Checkpoints
from search.engine import Engine
from search.execution import Evaluate, worker_name
from search.ledger import Ledger
from search.local_engine import LocalEngine
from search.trials import Failure, FailureKind, State, Trial
from space.design import Design

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),
    pytest.mark.filterwarnings("ignore::FutureWarning:ray"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # Ray leaves sockets and files to the collector
]

EPOCHS = 4


def never() -> bool:
    return False


def fail_each_in_its_way(design: Design, epoch: int) -> None:
    """Some designs fail: of NaN or for lack of memory in their second epoch, or before their first report."""
    if design.attention == "ras" and design["depth"] == 1 and epoch == 2:
        raise FloatingPointError("loss is nan")
    if design.attention == "se" and design["reduction"] == 4 and epoch == 2:
        raise MemoryError("no room")
    if design.attention == "ras" and design["depth"] == 3:
        raise ValueError("something else")


class LeaveMarks:
    """Leaves a file for each epoch trained, which processes can count."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, design: Design, epoch: int) -> None:
        count = len(list(self._folder.iterdir()))
        (self._folder / f"{count:04} {design} {epoch}").touch()


@pytest.fixture(scope="module", params=["local", pytest.param("ray", marks=pytest.mark.long)])
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each engine, with one worker."""
    if request.param == "local":
        return LocalEngine()
    request.getfixturevalue("ray_workers")
    from search.on_ray.engine import RayEngine

    return RayEngine(workers=1)


@pytest.fixture(scope="module")
def searched(
    engine: Engine,
    make_ledger: Callable[..., Ledger],
    make_study: Callable[..., optuna.Study],
    make_curves: Callable[..., Evaluate],
    tmp_path_factory: pytest.TempPathFactory,
) -> Ledger:
    """A search of six designs, in which others fail."""
    ledger = make_ledger(make_study(), budget=6, seed=1)
    evaluate = make_curves(epochs=EPOCHS, at_step=fail_each_in_its_way)
    engine.run(ledger, evaluate, Checkpoints(tmp_path_factory.mktemp("checkpoints"), "study"), never)
    return ledger


@pytest.fixture(scope="module")
def searched_here(
    make_ledger: Callable[..., Ledger],
    make_study: Callable[..., optuna.Study],
    make_curves: Callable[..., Evaluate],
    tmp_path_factory: pytest.TempPathFactory,
) -> Ledger:
    """The same search, worked off by hand: no engine, no checkpoints."""
    ledger = make_ledger(make_study(), budget=6, seed=1)
    evaluate = make_curves(epochs=EPOCHS, at_step=fail_each_in_its_way)
    while (trial := ledger.ask()) is not None:
        training = evaluate(trial.job.backbone, trial.job.design, trial.job.seed)
        try:
            while not training.done:
                ledger.report(trial.number, training.step())
            ledger.tell_complete(trial.number)
        except Exception as error:
            kinds = {
                FloatingPointError: FailureKind.NAN,
                MemoryError: FailureKind.OUT_OF_MEMORY,
                ValueError: FailureKind.ERROR,
            }
            ledger.tell_failed(trial.number, Failure(kind=kinds[type(error)], reason=""))
    return ledger


def test_an_engine_trains_exactly_the_budget_to_the_end(searched: Ledger) -> None:
    complete = [trial for trial in searched.trials if trial.state is State.COMPLETE]
    assert len(complete) == searched.trained == 6
    assert all([report["epoch"] for report in trial.history] == [1, 2, 3, 4] for trial in complete)
    assert not searched.running


def test_failures_fail_alone_with_their_kind(searched: Ledger) -> None:
    seen = set()
    for trial in searched.trials:
        if trial.failure is not None:
            assert trial.state is State.FAILED
            seen.add((trial.failure.kind, trial.failure.reason, len(trial.history)))
    assert seen == {
        ("nan", "FloatingPointError: loss is nan", 1),
        ("out of memory", "MemoryError: no room; with half of a batch at a time, too", 1),
        ("error", "ValueError: something else", 0),
    }


def test_of_each_trial_it_is_known_where_it_ended(searched: Ledger) -> None:
    ended = [trial for trial in searched.trials if trial.trained or trial.failure]
    assert {trial.worker for trial in ended} == {worker_name()}


def test_one_worker_searches_the_same_in_every_engine(
    searched: Ledger, searched_here: Ledger, story: Callable[[list[Trial]], list[object]]
) -> None:
    assert story(searched.trials) == story(searched_here.trials)


def test_an_engine_with_nothing_to_do_returns(
    engine: Engine,
    make_ledger: Callable[..., Ledger],
    make_study: Callable[..., optuna.Study],
    make_curves: Callable[..., Evaluate],
    tmp_path: Path,
) -> None:
    ledger = make_ledger(make_study(), budget=0)
    engine.run(ledger, make_curves(), Checkpoints(tmp_path, "study"), never)
    assert ledger.trials == []


def test_a_trial_stopped_by_goes_on_is_stopped_and_the_others_complete(
    engine: Engine,
    make_ledger: Callable[..., Ledger],
    make_study: Callable[..., optuna.Study],
    make_curves: Callable[..., Evaluate],
    tmp_path: Path,
) -> None:
    def goes_on(trial: Trial, trials: Sequence[Trial]) -> bool:
        return trial.last["epoch"] != 2 or trial.number % 2 == 0

    study = make_study()
    ledger = make_ledger(study, budget=4, goes_on=goes_on)
    engine.run(ledger, make_curves(epochs=EPOCHS), Checkpoints(tmp_path, "study"), never)
    ends = [(trial.state, len(trial.history)) for trial in ledger.trials]
    assert ends == [(State.COMPLETE, 4), (State.STOPPED, 2)] * 2
    assert [frozen.values is None for frozen in study.get_trials()] == [False, True] * 2
    assert list(tmp_path.iterdir()) == []


class StopAt:
    """A request to stop that comes once a trial has trained so many epochs of a study."""

    def __init__(self, ledger: Ledger, epochs: int) -> None:
        self._ledger = ledger
        self._epochs = epochs

    def __call__(self) -> bool:
        return sum(len(trial.history) for trial in self._ledger.trials) >= self._epochs


class Slowly:
    """Makes an epoch last longer than a Ray worker's interval between two reports."""

    def __call__(self, design: Design, epoch: int) -> None:
        end = time.monotonic() + 1.05
        while time.monotonic() < end:
            sum(range(1000))


def test_a_stopped_run_leaves_its_trial_running_and_the_next_ends_as_if_uninterrupted(
    engine: Engine,
    make_ledger: Callable[..., Ledger],
    make_study: Callable[..., optuna.Study],
    make_curves: Callable[..., Evaluate],
    journal_of: Callable[[optuna.Study], list[dict[str, object]]],
    story: Callable[[list[Trial]], list[object]],
    run: Callable[..., Ledger],
    tmp_path: Path,
) -> None:
    epochs = 3
    study = make_study()
    first = make_ledger(study, budget=3)
    slow = make_curves(epochs=epochs, at_step=Slowly() if engine.name == "ray" else None)
    engine.run(first, slow, Checkpoints(tmp_path, "study"), StopAt(first, epochs=epochs + 1))
    assert [trial.state for trial in first.trials] == [State.COMPLETE, State.RUNNING]
    assert [path.name for path in tmp_path.iterdir()] == ["1-study.pt"]

    marks = tmp_path / "marks"
    marks.mkdir()
    second = make_ledger(make_study(journal_of(study)), budget=3)
    engine.run(second, make_curves(epochs=epochs, at_step=LeaveMarks(marks)), Checkpoints(tmp_path, "study"), never)
    uninterrupted = run(make_ledger(make_study(), budget=3), make_curves(epochs=epochs))
    assert story(second.trials) == story(uninterrupted.trials)
    assert len(list(marks.iterdir())) < 2 * epochs, "what the checkpoint has was trained again"
    assert [path.name for path in tmp_path.iterdir()] == ["marks"]


def test_a_request_to_stop_before_the_first_trial_starts_none(
    make_ledger: Callable[..., Ledger],
    make_study: Callable[..., optuna.Study],
    make_curves: Callable[..., Evaluate],
    tmp_path: Path,
) -> None:
    ledger = make_ledger(make_study())
    LocalEngine().run(ledger, make_curves(), Checkpoints(tmp_path, "study"), lambda: True)
    assert ledger.trials == []


def test_an_engine_measures_alone_where_it_trains(engine: Engine) -> None:
    assert engine.alone(os.getpid) == os.getpid()


def test_a_ledger_that_cannot_be_written_ends_the_run_and_its_trial_is_taken_up_again(
    engine: Engine,
    make_ledger: Callable[..., Ledger],
    make_study: Callable[..., optuna.Study],
    make_curves: Callable[..., Evaluate],
    journal_of: Callable[[optuna.Study], list[dict[str, object]]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    study = make_study()
    ledger = make_ledger(study, budget=3)
    tell = ledger.tell_complete
    full = iter([OSError(28, "No space left on device")])

    def tell_if_there_is_room(number: int) -> None:
        if ledger.trained == 1 and (error := next(full, None)) is not None:
            raise error
        tell(number)

    monkeypatch.setattr(ledger, "tell_complete", tell_if_there_is_room)
    with pytest.raises(OSError, match="No space left"):
        engine.run(ledger, make_curves(), Checkpoints(tmp_path, "study"), never)
    again = make_ledger(make_study(journal_of(study)), budget=3)
    assert [trial.state for trial in again.trials][:2] == [State.COMPLETE, State.RUNNING]
    engine.run(again, make_curves(), Checkpoints(tmp_path, "study"), never)
    assert [trial.state for trial in again.trials if trial.job.replicate == 0] == [State.COMPLETE] * 3


class Hang:
    """Never ends an epoch of a design of this attention, whatever exception comes."""

    def __init__(self, attention: str) -> None:
        self._attention = attention

    def __call__(self, design: Design, epoch: int) -> None:
        while design.attention == self._attention:
            with contextlib.suppress(Exception):
                threading.Event().wait()


@pytest.mark.parametrize("name", ["local", pytest.param("ray", marks=pytest.mark.long)])
def test_a_trial_that_hangs_fails_alone_after_the_timeout(
    name: str,
    request: pytest.FixtureRequest,
    make_ledger: Callable[..., Ledger],
    make_study: Callable[..., optuna.Study],
    make_curves: Callable[..., Evaluate],
    tmp_path: Path,
) -> None:
    make = LocalEngine if name == "local" else functools.partial(request.getfixturevalue("ray_engine"), 1)
    ledger = make_ledger(make_study(), budget=2)
    hanging = make_curves(at_step=Hang("none"))
    make(trial_timeout=2.0).run(ledger, hanging, Checkpoints(tmp_path, "study"), never)
    assert [trial.state for trial in ledger.trials] == [State.FAILED, State.COMPLETE, State.COMPLETE]
    failure = ledger.trials[0].failure
    assert failure is not None
    assert (failure.kind, failure.reason) == (FailureKind.TIMEOUT, "not done after 2 s")
