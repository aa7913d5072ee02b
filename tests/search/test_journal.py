"""A study's journal: cut short, locked by the dead, replayed once."""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from random import Random
from threading import Thread

import optuna
import pytest
from optuna.distributions import CategoricalDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.storages.journal._storage import JournalOperation
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.journal import JOURNAL, Journal
from search.storage import Storage
from search.trials import Trial
from space.errors import Stopped, UserError
from tests.objectives import OBJECTIVES


@pytest.fixture
def journal(tmp_path: Path, search: Callable[..., list[Trial]]) -> Path:
    """The journal of a study of three trials, in the folder `runs`."""
    search(Storage(str(tmp_path / "runs")))
    return tmp_path / "runs" / "study" / JOURNAL


@pytest.mark.parametrize("left", [".lock", ".lock3f2a.rename"])
def test_a_journal_lock_left_by_a_killed_process_is_removed_before_anything_waits_for_it(
    journal: Path, left: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stale = journal.with_name(journal.name + left)
    os.symlink(journal, stale)
    acquire = JournalFileSymlinkLock.acquire

    def acquire_at_once(lock: JournalFileSymlinkLock) -> bool:
        assert not stale.is_symlink()
        return acquire(lock)

    monkeypatch.setattr(JournalFileSymlinkLock, "acquire", acquire_at_once)
    with Storage(str(journal.parent.parent)).writing("study", OBJECTIVES.directions, {}):
        assert not stale.is_symlink()


@pytest.mark.parametrize("kept", [1, 10, -1], ids=["one byte", "ten bytes", "all but the line's end"])
def test_a_line_cut_short_is_dropped_and_the_study_goes_on(
    journal: Path,
    kept: int,
    search: Callable[..., list[Trial]],
    tmp_path: Path,
    story: Callable[[list[Trial]], list[object]],
) -> None:
    *whole, last = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(whole) + last[:kept])
    storage = Storage(str(journal.parent.parent))
    trials = search(storage, budget=5)
    assert story(trials) == story(search(Storage(str(tmp_path / "other")), budget=5))
    assert story(storage.read("study").trials) == story(trials)


def test_what_could_not_be_written_whole_is_taken_back_and_the_next_line_is_whole(
    journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = journal.read_bytes()
    write = JournalFileBackend.append_logs

    def write_half(backend: JournalFileBackend, logs: list[dict[str, object]]) -> None:
        monkeypatch.setattr(JournalFileBackend, "append_logs", write)
        with journal.open("ab") as file:
            file.write(b'{"op_code":')
        raise OSError(28, "No space left on device")

    backend = Journal(journal)
    assert len(list(backend.read_logs(0))) == before.count(b"\n")
    monkeypatch.setattr(JournalFileBackend, "append_logs", write_half)
    backend.append_logs([{"op_code": JournalOperation.SET_TRIAL_PARAM}])
    with pytest.raises(OSError, match="No space left"):
        backend.append_logs([{"op_code": 9}])
    assert journal.read_bytes() == before
    backend.append_logs([{"op_code": 9}])
    assert journal.read_bytes() == before + b'{"op_code":5}\n{"op_code":9}\n'


def operated(storage: JournalStorage, seed: int, other: JournalStorage) -> list[FrozenTrial]:
    """The trials that some operations, drawn at random, lead to; now and then another process looks."""
    random, study = Random(seed), storage.create_new_study([StudyDirection.MAXIMIZE], "study")
    trials = [storage.create_new_trial(study)]
    for name in map(str, range(60)):
        match random.choice(["param"] * 4 + ["attr", "begin", "look"]):
            case "param":
                storage.set_trial_param(random.choice(trials), name, 1.0, CategoricalDistribution((1, "two")))
            case "attr":
                storage.set_trial_user_attr(random.choice(trials), name, [name])
            case "begin":
                trials.append(storage.create_new_trial(study))
            case "look":
                other.get_all_trials(study)
    return [without_times(trial) for trial in storage.get_all_trials(study)]


def without_times(trial: FrozenTrial) -> FrozenTrial:
    """The same, begun at no time."""
    trial.datetime_start = None
    return trial


@pytest.mark.parametrize("seed", range(20))
def test_what_is_not_written_at_once_is_known_at_once_and_written_with_what_comes_next(
    seed: int, tmp_path: Path
) -> None:
    def optunas(path: Path) -> JournalStorage:
        return JournalStorage(JournalFileBackend(str(path)))

    paths = [tmp_path / "ours", tmp_path / "theirs"]
    ours, theirs = JournalStorage(Journal(paths[0])), optunas(paths[1])
    other = optunas(paths[0])
    trials = operated(ours, seed, other)
    assert trials == operated(theirs, seed, theirs)
    ours.set_study_user_attr(0, "the", "end")
    for storage in (other, optunas(paths[0]), JournalStorage(Journal(paths[0]))):
        assert [without_times(trial) for trial in storage.get_all_trials(0)] == trials


@pytest.mark.parametrize("fixed", [None, {"fixed_params": {"a": "two"}}], ids=["free", "its decisions are fixed"])
def test_what_is_known_of_a_trial_when_it_is_begun_is_one_line(
    tmp_path: Path, fixed: dict[str, dict[str, str]] | None
) -> None:
    storage = JournalStorage(Journal(tmp_path / "ours"))
    study = storage.create_new_study([StudyDirection.MAXIMIZE], "study")
    sides = CategoricalDistribution((1, "two"))
    template = create_trial(state=TrialState.RUNNING, system_attrs=fixed) if fixed else None
    for number in range(3):
        trial = storage.create_new_trial(study, template)
        storage.set_trial_param(trial, "a", 1.0, sides)
        storage.set_trial_param(trial, "b", 0.0, sides)
        storage.set_trial_user_attr(trial, "job", number)
        storage.set_trial_user_attr(trial, "outcome", number)
    _, *lines = (json.loads(line) for line in (tmp_path / "ours").read_bytes().splitlines())
    assert [line["op_code"] for line in lines] == 3 * [
        *(JournalOperation.CREATE_TRIAL, JournalOperation.SET_TRIAL_USER_ATTR)
    ]
    assert [(line["params"], line["user_attrs"]) for line in lines[::2]] == [
        ({"a": 1.0, "b": 0.0}, {"job": number}) for number in range(3)
    ]
    assert [line["trial_id"] for line in lines[1::2]] == [0, 1, 2]
    assert [line.get("system_attrs") for line in lines[::2]] == 3 * [fixed]


@pytest.mark.parametrize("state", [TrialState.COMPLETE, TrialState.WAITING])
def test_a_trial_that_is_added_and_does_not_run_is_written_at_once(tmp_path: Path, state: TrialState) -> None:
    study = optuna.create_study(storage=JournalStorage(Journal(tmp_path / "ours")))
    study.ask().suggest_int("x", 0, 9)
    study.add_trial(create_trial(state=state, value=1.0 if state is TrialState.COMPLETE else None))
    read = JournalStorage(JournalFileBackend(str(tmp_path / "ours"))).get_all_trials(0)
    assert [(trial.number, trial.state) for trial in read] == [(0, TrialState.RUNNING), (1, state)]
    assert read[0].params.keys() == {"x"}


def test_what_was_written_when_an_interruption_came_is_not_written_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = JournalStorage(Journal(tmp_path / "ours"))
    study = storage.create_new_study([StudyDirection.MAXIMIZE], "study")
    trial = storage.create_new_trial(study)
    storage.set_trial_param(trial, "x", 1.0, CategoricalDistribution((1, "two")))
    write = JournalFileBackend.append_logs

    def interrupted(backend: JournalFileBackend, logs: list[dict[str, object]]) -> None:
        write(backend, logs)
        raise KeyboardInterrupt

    with monkeypatch.context() as for_now:
        for_now.setattr(JournalFileBackend, "append_logs", interrupted)
        with pytest.raises(KeyboardInterrupt):
            storage.set_trial_user_attr(trial, "job", 1)
    storage.set_study_user_attr(study, "of another", "thread")
    for read in (storage, JournalStorage(JournalFileBackend(str(tmp_path / "ours")))):
        assert [(it.params, it.user_attrs) for it in read.get_all_trials(study)] == [({"x": "two"}, {})]
        assert read.get_study_user_attrs(study) == {"of another": "thread"}


def test_behind_what_somebody_else_wrote_meanwhile_nothing_is_written(tmp_path: Path) -> None:
    ours = JournalStorage(Journal(tmp_path / "ours"))
    study = ours.create_new_study([StudyDirection.MAXIMIZE], "study")
    trial = ours.create_new_trial(study)
    JournalStorage(Journal(tmp_path / "ours")).set_study_user_attr(study, "of", "others")
    with pytest.raises(Stopped, match="written by another process"):
        ours.set_trial_user_attr(trial, "job", 1)
    assert JournalStorage(Journal(tmp_path / "ours")).get_all_trials(study) == []


def test_what_is_read_in_the_process_that_wrote_it_is_what_others_read(tmp_path: Path) -> None:
    storage = JournalStorage(Journal(tmp_path / "ours"))
    study = storage.create_new_study([StudyDirection.MAXIMIZE], "study")
    storage.set_study_user_attr(study, "pair", (1, 2))
    assert storage.get_study_user_attrs(study) == {"pair": [1, 2]}


def test_another_thread_may_write_while_decisions_are_made(tmp_path: Path) -> None:
    storage = JournalStorage(Journal(tmp_path / "ours"))
    study = storage.create_new_study([StudyDirection.MAXIMIZE], "study")

    def annotate() -> None:
        for number in range(200):
            storage.set_study_user_attr(study, f"of {number}", number)

    other = Thread(target=annotate)
    other.start()
    for _ in range(20):
        trial = storage.create_new_trial(study)
        for name in map(str, range(10)):
            storage.set_trial_param(trial, name, 1.0, CategoricalDistribution((1, "two")))
        storage.set_trial_user_attr(trial, "job", trial)
    other.join()
    read = JournalStorage(JournalFileBackend(str(tmp_path / "ours")))
    assert [(len(it.params), it.user_attrs) for it in read.get_all_trials(study)] == [
        (10, {"job": n}) for n in range(20)
    ]
    assert read.get_study_user_attrs(study) == {f"of {number}": number for number in range(200)}


def test_decisions_of_a_session_that_broke_off_are_not_written_into_what_another_process_decided(
    tmp_path: Path,
) -> None:
    ours, others = Storage(str(tmp_path / "runs")), Storage(str(tmp_path / "runs"))

    def writing(storage: Storage) -> AbstractContextManager[optuna.Study]:
        return storage.writing("study", OBJECTIVES.directions, {})

    def break_off() -> None:
        with writing(ours) as study:
            kept.append(study)
            trial = study.ask()
            trial.set_user_attr("of", "ours")
            trial.suggest_categorical("of ours", [1, 2])
            raise RuntimeError

    kept: list[optuna.Study] = []
    with pytest.raises(RuntimeError):
        break_off()
    with pytest.raises(Stopped, match="by another session"):
        kept[0].set_user_attr("too", "late")
    with writing(others) as study:
        storage = study._storage
        storage.set_trial_param(0, "of others", 1.0, CategoricalDistribution((1, "two")))
        storage.set_trial_user_attr(0, "job", "of others")
    with writing(ours) as study:
        study.set_user_attr("the", "end")
        assert [trial.params for trial in study.trials] == [{"of others": "two"}]
    with writing(others) as study:
        assert [trial.params for trial in study.trials] == [{"of others": "two"}]


@pytest.fixture
def replays(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each journal with something in it is read from its beginning."""
    counted: Counter[str] = Counter()
    read_logs = JournalFileBackend.read_logs

    def counting(backend: JournalFileBackend, log_number_from: int) -> Iterator[dict[str, object]]:
        if log_number_from == 0 and Path(backend._file_path).stat().st_size:
            counted[Path(backend._file_path).parent.name] += 1
        return read_logs(backend, log_number_from)

    monkeypatch.setattr(JournalFileBackend, "read_logs", counting)
    return counted


def test_a_journal_is_replayed_once_however_often_its_study_is_read_and_written(
    journal: Path, search: Callable[..., list[Trial]], replays: Counter[str]
) -> None:
    storage = Storage(str(journal.parent.parent))
    for budget in (4, 5):
        storage.find(None)
        assert len([trial for trial in storage.read("study").trials if trial.trained]) == budget - 1
        search(storage, budget=budget)
    assert len([trial for trial in storage.read("study").trials if trial.trained]) == 5
    assert replays == {"study": 1}


def test_what_was_read_of_a_study_cut_short_stays_right_when_it_is_mended(
    journal: Path, search: Callable[..., list[Trial]], story: Callable[[list[Trial]], list[object]]
) -> None:
    *whole, last = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(whole) + last[:-5])
    storage = Storage(str(journal.parent.parent))
    storage.read("study")
    search(storage, budget=5)
    assert story(storage.read("study").trials) == story(Storage(str(journal.parent.parent)).read("study").trials)


def test_a_study_cut_short_can_be_read_before_it_is_mended(
    journal: Path, story: Callable[[list[Trial]], list[object]]
) -> None:
    *whole, last = journal.read_bytes().splitlines(keepends=True)
    read = []
    for end in (b"", last[:-5]):
        journal.write_bytes(b"".join(whole) + end)
        read.append(story(Storage(str(journal.parent.parent)).read("study").trials))
        assert journal.read_bytes() == b"".join(whole) + end
    assert read[0] == read[1]
    assert read[0]


def test_no_line_of_a_whole_journal_is_lost(journal: Path) -> None:
    content = journal.read_bytes()
    with Storage(str(journal.parent.parent)).writing("study", OBJECTIVES.directions, {}):
        pass
    assert journal.read_bytes().startswith(content)


@pytest.mark.parametrize("lines", [0, 1], ids=["before it was made", "before it was described"])
def test_a_study_whose_process_was_killed_while_making_it_is_made_by_the_next(journal: Path, lines: int) -> None:
    whole = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(whole[:lines]))
    storage = Storage(str(journal.parent.parent))
    assert not storage.exists("study")
    with pytest.raises(UserError):
        storage.read("study")
    with storage.writing("study", OBJECTIVES.directions, {"seed": 5}):
        assert storage.read("study").attributes["seed"] == 5


def test_a_study_that_was_never_made_does_not_hide_the_others(
    journal: Path, search: Callable[..., list[Trial]]
) -> None:
    storage = Storage(str(journal.parent.parent))
    (storage.folder("begun")).mkdir()
    begun = storage.folder("begun") / JOURNAL
    begun.touch()
    after = journal.stat().st_mtime + 10
    os.utime(begun, (after, after))
    assert storage.find(None) == "study"
