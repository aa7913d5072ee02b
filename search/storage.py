"""Where studies are kept: a folder with a journal for each study, or any database that Optuna knows."""

import contextlib
import errno
import functools
import logging
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage

from search.journal import JOURNAL, Journal, first_damaged, locked, mend_end
from search.trials import Trial, read_trials
from space.errors import Stopped, UserError, first_line
from space.uncollected import uncollected

if TYPE_CHECKING:
    from search.lease import Lease

OPENED = "opened"
"""The attribute with the time when a study in a database was last opened to be written."""

Direction: TypeAlias = Literal["minimize", "maximize"]

FOUNDING = "founding"
"""The attribute with all that a study is made with, written at once."""
DEFAULT_FOLDER = "runs"

MADE_MEANWHILE = ("already exists", "duplicate key", "UNIQUE constraint")
"""What databases say of a table, or a row of it, that another process has just made."""
RACE_SECONDS = 0.2
PATIENCE_SECONDS = 30
"""So long one process waits while another one writes a SQLite file; on a busy disk SQLite's own 5 s are too few."""
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What systems say of a disk, a quota or a file that takes no more."""

optuna.logging.set_verbosity(optuna.logging.ERROR)
logging.getLogger("alembic").setLevel(logging.ERROR)


@dataclass(frozen=True)
class Record:
    """A study, read.

    Attributes:
        name: of the study.
        attributes: what was stored with it.
        trials: those that have a job, by number.
    """

    name: str
    attributes: dict[str, Any]
    trials: list[Trial]


class Storage:
    """The studies of one place, each opened once: a journal is replayed at its first use, and only then.

    Args:
        where: a folder, in which each study has a folder with its journal; or a database URL such as
            sqlite:///studies.db or postgresql://..., beside which the folder runs/ keeps the files.
    """

    def __init__(self, where: str = DEFAULT_FOLDER) -> None:
        self._url = where if "://" in where else None
        self.root = Path(DEFAULT_FOLDER if self._url else where).absolute()
        if self.root.exists() and not self.root.is_dir():
            raise UserError(f"--storage {where} is a file; a folder or a database URL is wanted")
        self._studies: dict[str, optuna.Study] = {}
        self._journals: dict[str, Journal] = {}
        self._read: set[str] = set()
        self._leases: list[Lease] = []

    def folder(self, name: str) -> Path:
        """The study's own folder: checkpoints, and the journal with its lock."""
        return self.root / name

    def journal(self, name: str) -> Path | None:
        """The study's journal; None where it has none, in a database or not begun."""
        path = self.folder(name) / JOURNAL
        return path if self._url is None and path.exists() else None

    def names(self, *, every: bool = False) -> list[str]:
        """All searches, or every study, the one written last at the end; what is no search has a / in its name."""
        if self._url is None:
            journals = self.root.glob(f"{'**' if every else '*'}/{JOURNAL}")
            by_time = sorted(journals, key=lambda journal: journal.stat().st_mtime)
            return [journal.parent.relative_to(self.root).as_posix() for journal in by_time]
        if self._missing():
            return []
        with self.answering():
            studies = self._database.get_all_studies()
        studies.sort(key=lambda study: float(study.user_attrs.get(OPENED, 0)))
        return [study.study_name for study in studies if every or "/" not in study.study_name]

    def find(self, name: str | None, *, every: bool = False) -> str:
        """The study of this name, or the one written last if no name is given: a search, or every one may be meant.

        Raises:
            UserError: there is no such study.
        """
        names = self.names(every=every)
        if name is not None and names and name not in names:
            raise UserError(f"no study {name!r} in {self._url or self.root}; there are {', '.join(names)}")
        made = name or next((there for there in reversed(names) if self.exists(there)), None)
        if not names or made is None:
            raise UserError(f"no study in {self._url or self.root} yet; `search launch` makes one")
        return made

    def exists(self, name: str) -> bool:
        """Whether a study of this name has been made; one that a killed process only began has not."""
        with self.answering():
            return self._open(name) is not None

    def read(self, name: str) -> Record:
        """An existing study as it is now; another process may be writing it.

        Raises:
            UserError: it does not exist, or is being made at this moment.
        """
        with self.answering():
            study = self._open(name)
            if study is None:
                raise UserError(f"study {name!r} in {self._url or self.root} is not made yet")
            stored = study.user_attrs
            try:
                attributes = {key: value for key, value in stored.items() if key != FOUNDING} | stored[FOUNDING]
                with contextlib.nullcontext() if name in self._read else uncollected():
                    trials = [trial for _, trial in read_trials(study) if trial is not None]
                self._read.add(name)
            except (LookupError, TypeError, ValueError, AttributeError) as error:
                raise UserError(
                    f"study {name} in {self._url or self.root} is damaged ({type(error).__name__}: "
                    f"{first_line(error)}); take a copy of it"
                ) from None
        return Record(name, attributes, trials)

    @contextlib.contextmanager
    def writing(
        self, name: str, directions: Sequence[Direction], attributes: Mapping[str, Any]
    ) -> Iterator[optuna.Study]:
        """The study to write, made with these attributes if it is new; no other process can write it meanwhile.

        A journal is locked by a file, and a study of a database by a lease there.

        Raises:
            UserError: another process is writing it.
            Stopped: the database went away, or gave the study to another process.
        """
        folder = self.folder(name)
        folder.mkdir(parents=True, exist_ok=True)
        with self.answering(), self.held(name):
            if self._url is None:
                mend_end(folder / JOURNAL)
            study = self._made(name, directions)
            if FOUNDING not in study.user_attrs:
                study.set_user_attr(FOUNDING, dict(attributes))
            if self._url is not None:  # a journal has the time of its file
                study.set_user_attr(OPENED, time.time())
            try:
                yield study
            except BaseException:
                self._studies.pop(name, None)  # it may know of decisions that are not written
                if name in self._journals:
                    self._journals.pop(name).close()  # a thread may still have the study
                raise

    def check(self) -> None:
        """Make sure that what is being written still may be.

        Raises:
            Stopped: the database has given it to another process, or was away for too long.
        """
        for lease in self._leases:
            lease.check()

    @contextlib.contextmanager
    def answering(self) -> Iterator[None]:
        """Tell in one line of a database that goes away meanwhile, and of a disk that is full.

        Raises:
            Stopped: it did, or is.
        """
        try:
            yield
        except Exception as error:
            if isinstance(error, OSError) and error.errno in FULL:
                raise Stopped(f"no room for {error.filename or self.root} ({error.strerror}); make some") from None
            from sqlalchemy.exc import InterfaceError, OperationalError, ProgrammingError  # takes a moment

            reason = error.__cause__ if isinstance(error, StorageInternalError) else error
            if not isinstance(reason, InterfaceError | OperationalError | ProgrammingError):
                raise
            raise Stopped(f"the database {self._url} does not answer: {first_line(reason.orig or reason)}") from None

    @contextlib.contextmanager
    def held(self, name: str) -> Iterator[None]:
        """Keep other processes from writing a study.

        Raises:
            UserError: another one is.
        """
        if self._url is None:
            with locked(self.folder(name), name):
                yield
            return
        from search.lease import Lease  # takes a moment

        with Lease(self._database.engine, name) as lease:
            self._leases.append(lease)
            try:
                yield
            finally:
                self._leases.remove(lease)

    def _open(self, name: str) -> optuna.Study | None:
        if name not in self._studies:
            if self._missing() or (self._url is None and not (self.folder(name) / JOURNAL).exists()):
                return None
            backend = self._backend(name)
            with contextlib.suppress(KeyError):  # killed before it had made the study
                self._studies[name] = optuna.load_study(study_name=name, storage=backend)
        study = self._studies.get(name)
        return study if study is not None and FOUNDING in study.user_attrs else None

    def _made(self, name: str, directions: Sequence[Direction]) -> optuna.Study:
        self._open(name)
        if name not in self._studies:
            self._studies[name] = optuna.create_study(
                study_name=name, storage=self._backend(name), directions=list(directions)
            )
        return self._studies[name]

    def _missing(self) -> bool:
        """Whether this is a SQLite file that is not there; opening it would make one."""
        if self._url is None or not self._url.startswith("sqlite"):
            return False
        path = Path(self._url.partition("///")[2].partition("?")[0].removeprefix("file:"))
        return path.parent.is_dir() and not path.exists()

    def _backend(self, name: str) -> BaseStorage:
        if self._url is not None:
            return self._database
        path = self.folder(name) / JOURNAL
        try:
            with uncollected():
                self._journals[name] = Journal(path)
                return JournalStorage(self._journals[name])
        except Exception:
            if (line := first_damaged(path)) is None:
                raise
            raise UserError(
                f"study {name}: line {line} of {path} is damaged; `search doctor --mend` keeps all before it"
            ) from None

    @functools.cached_property
    def _database(self) -> RDBStorage:
        assert self._url is not None
        try:
            database = _opened(self._url)
            weakref.finalize(self, database.engine.dispose)
            return database
        except ValueError:  # its text may have half of the password
            raise UserError(
                f"--storage {self._url} is no URL; %40 is an @ in a password, %3A a colon, %2F a slash"
            ) from None
        except ImportError:
            raise UserError(
                f"--storage {self._url}: the driver of this database is not installed; PostgreSQL's comes with "
                "pip install 'attention-search[postgres]'"
            ) from None
        except Exception as error:  # each database driver has errors of its own
            raise UserError(f"--storage {self._url} cannot be opened: {first_line(error)}") from None


def _opened(url: str, tries: int = 10) -> RDBStorage:
    """A database; of processes that make its tables at the same moment one succeeds, and the others try again."""
    from sqlalchemy import make_url  # takes a moment
    from sqlalchemy.exc import DBAPIError

    where = make_url(url)
    if where.get_backend_name() == "sqlite" and "timeout" not in where.query:
        url = where.update_query_dict({"timeout": str(PATIENCE_SECONDS)}).render_as_string(hide_password=False)
    try:
        return RDBStorage(url, engine_kwargs={"pool_pre_ping": True})  # connections drop between two trials
    except DBAPIError as error:
        if tries == 1 or not any(words in str(error) for words in MADE_MEANWHILE):
            raise
    time.sleep(RACE_SECONDS)
    return _opened(url, tries - 1)
