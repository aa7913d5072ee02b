"""A PostgreSQL server of its own, on loopback, for the tests that need a real one."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path

from sqlalchemy import create_engine, text

USER, PASSWORD = "owner", "hunter2"
FAST = ("fsync=off", "full_page_writes=off")
"""What survives a server that is killed, if not its machine: a commit is with the system before it is answered."""


def programs() -> Path | None:
    """The folder with PostgreSQL's programs, of which Debian has a folder for each version; None without them."""
    found = shutil.which("pg_ctl")
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    return debian[-1].parent if debian else Path(found).parent if found else None


class Postgres:
    """A server that is running.

    Args:
        bin_folder: of PostgreSQL's programs.
        folder: empty, for its data.
        port: to listen on.
    """

    def __init__(self, bin_folder: Path, folder: Path, port: int) -> None:
        self._bin, self._data, self._port = bin_folder, folder / "data", port
        self._user = "postgres" if os.geteuid() == 0 else None  # it refuses to run as root
        if self._user is not None:
            shutil.chown(folder, self._user)
        self._numbers = count()
        secret = folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        self._run("initdb", "--username", USER, "--auth", "scram-sha-256", "--pwfile", str(secret))
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        settings = (f"port={self._port}", "listen_addresses=127.0.0.1", "unix_socket_directories=", *FAST)
        options = " ".join(f"-c {setting}" for setting in settings)
        self._run("pg_ctl", "start", "--wait", "--silent", "--log", str(self._data / "log"), "--options", options)

    def stop(self, mode: str = "fast") -> None:
        """Stop it; "immediate" is as if the machine lost its power."""
        self._run("pg_ctl", "stop", "--wait", "--silent", "--mode", mode)

    def url(self, database: str) -> str:
        """Of one of its databases, with the password in it."""
        return f"postgresql+psycopg://{USER}:{PASSWORD}@127.0.0.1:{self._port}/{database}"

    def made(self, like: str = "template1") -> str:
        """URL of a new database, which begins as a copy of this one."""
        name = f"made{next(self._numbers)}"
        engine = create_engine(self.url("postgres"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {like}"))
        engine.dispose()
        return self.url(name)

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._bin / program), "--pgdata", str(self._data), *arguments]
        subprocess.run(command, user=self._user, cwd="/", check=True, stdout=subprocess.DEVNULL)


@contextmanager
def running() -> Iterator[Postgres | None]:
    """A server for as long as the context lasts; None where PostgreSQL is not installed."""
    bin_folder = programs()
    if bin_folder is None:
        yield None
        return
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="postgres") as folder:
        server = Postgres(bin_folder, Path(folder), port)
        try:
            yield server
        finally:
            server.stop("immediate")
