"""Who writes a study of a database: a row of a table of ours there, which its holder renews as long as it lives.

The row ends with its holder. A process of this machine that is dead is seen to be; of one on another machine
only its silence tells, by the clock of the database.
"""

import os
import socket
import threading
import time
import uuid
from pathlib import Path
from types import TracebackType
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    DateTime,
    Engine,
    Integer,
    MetaData,
    Row,
    String,
    Table,
    create_engine,
    delete,
    event,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

from space.errors import Stopped, UserError, first_line

LEASE_SECONDS = 60.0
"""So long a holder may be silent."""
RENEWALS = 4
"""Of a lease, before it would end."""

LEASES = Table(
    "attention_search_leases",
    MetaData(),
    Column("study", String(512), primary_key=True),
    Column("holder", String(32), nullable=False),  # no two are alike
    Column("host", String(255), nullable=False),
    Column("machine", String(255), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("started", String(32), nullable=False),
    Column("renewed", DateTime(timezone=True), nullable=False),
    Column("renewals", Integer, nullable=False),
)


class Lease:
    """A study held by this process; nobody else writes it meanwhile, nor does this process once it has lost it.

    Args:
        storage: engine of the storage that writes the study; a transaction of it commits only while the study is held.
        study: name.
    """

    def __init__(self, storage: Engine, study: str) -> None:
        self._storage = storage
        self._study = study
        self._engine = create_engine(storage.url, pool_pre_ping=True)  # its transactions are not the storage's
        self._holder = uuid.uuid4().hex
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)
        self._lost = ""

    def __enter__(self) -> "Lease":
        """Take it.

        Raises:
            UserError: another process holds it.
        """
        _make_table(self._engine)
        try:
            holder = self._take()
        except IntegrityError:  # another process was quicker
            holder = self._take()
        if holder is not None:
            self._engine.dispose()
            raise UserError(f"study {self._study} is being run by {_named(holder)}; {_advice(holder)}")
        event.listen(self._storage, "commit", self._fence)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        self._thread.join(LEASE_SECONDS / RENEWALS)  # it may hang, as the database does
        event.remove(self._storage, "commit", self._fence)
        try:
            with self._engine.begin() as connection:
                connection.execute(delete(LEASES).where(*self._ours()))
        except SQLAlchemyError:
            pass  # the database is away; the lease ends by itself
        self._engine.dispose()

    def check(self) -> None:
        """Make sure that the study is still held.

        Raises:
            Stopped: it is not.
        """
        if self._lost:
            raise Stopped(f"study {self._study} is no longer held: {self._lost}")

    def _take(self) -> Row[Any] | None:
        """Hold the study unless somebody does; returns who."""
        mine = {
            "holder": self._holder,
            "host": socket.gethostname(),
            "machine": _machine(),
            "pid": os.getpid(),
            "started": _started(os.getpid()),
            "renewed": func.now(),
            "renewals": 0,
        }
        with self._engine.begin() as connection:
            there = self._there(connection)
            if there is None:
                connection.execute(insert(LEASES).values(study=self._study, **mine))
                return None
            if not _is_gone(there):
                return there
            unchanged = (LEASES.c.holder == there.holder, LEASES.c.renewals == there.renewals)
            taken = connection.execute(update(LEASES).where(LEASES.c.study == self._study, *unchanged).values(**mine))
            return None if taken.rowcount == 1 else self._there(connection)

    def _there(self, connection: Connection) -> Row[Any] | None:
        row = select(LEASES, func.now().label("now")).where(LEASES.c.study == self._study)
        return connection.execute(row).one_or_none()

    def _keep(self) -> None:
        """Renew the lease until it is over, or lost."""
        renewed = time.monotonic()
        while not self._lost and not self._over.wait(LEASE_SECONDS / RENEWALS):
            now = time.monotonic()
            try:
                with self._engine.begin() as connection:
                    more = {"renewed": func.now(), "renewals": LEASES.c.renewals + 1}
                    if connection.execute(update(LEASES).where(*self._ours()).values(**more)).rowcount == 0:
                        self._lost = self._taken_over(connection)
                renewed = now
            except SQLAlchemyError:
                if now - renewed > LEASE_SECONDS:
                    self._lost = f"the database did not answer for {now - renewed:.0f} s"

    def _fence(self, connection: Connection) -> None:
        """Keep the storage from writing what another process holds by now."""
        if connection.execute(select(LEASES.c.study).where(*self._ours())).one_or_none() is None:
            self._lost = self._lost or self._taken_over(connection)
        self.check()

    def _ours(self) -> tuple[Any, ...]:
        return LEASES.c.study == self._study, LEASES.c.holder == self._holder

    def _taken_over(self, connection: Connection) -> str:
        holder = self._there(connection)
        return "its lease ended" if holder is None else f"{_named(holder)} took it over"


def _make_table(engine: Engine) -> None:
    try:
        LEASES.create(engine, checkfirst=True)
    except DBAPIError:  # another process made it at the same time
        try:
            LEASES.create(engine, checkfirst=True)
        except DBAPIError as error:
            reason = first_line(error.orig or error)
            raise UserError(f"--storage: the table {LEASES.name} cannot be made in the database ({reason})") from None


def _is_gone(holder: Row[Any]) -> bool:
    """Whether a holder is dead, or was silent for longer than its lease."""
    if holder.machine and holder.machine == _machine():
        return bool(holder.started != _started(holder.pid))
    return _silence(holder) > LEASE_SECONDS


def _silence(holder: Row[Any]) -> float:
    """Seconds since it renewed its lease."""
    return float((holder.now - holder.renewed).total_seconds())


def _named(holder: Row[Any]) -> str:
    return f"process {holder.pid} on {holder.host}"


def _advice(holder: Row[Any]) -> str:
    wait = "wait for it, or stop it with Ctrl-C"
    if holder.machine and holder.machine == _machine():
        return wait
    return f"{wait}; if it is dead, its hold ends in {LEASE_SECONDS - _silence(holder):.0f} s"


def _machine() -> str:
    """What tells this machine, since it started, and its numbering of processes from others; empty if nothing does."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _started(pid: int) -> str:
    """When a process of this machine started, which tells it from others of its number; empty if it is dead."""
    try:
        state, *others = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if state in ("Z", "X") else others[18]
