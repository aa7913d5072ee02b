"""A client of MLflow. Where runs are kept in a file, that is there whole or not at all."""

import os
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import make_url

from space.files import to_disk

if TYPE_CHECKING:
    from mlflow import MlflowClient


def client_of(uri: str | None) -> "MlflowClient":
    """A client of a tracking server; None for MLflow's own default.

    Raises:
        Exception: of many kinds, where it does not answer.
    """
    from mlflow import MlflowClient, get_tracking_uri  # takes seconds

    uri = uri or get_tracking_uri()
    if (file := _file_of(uri)) is not None and not file.exists():
        _make(file)
    return MlflowClient(tracking_uri=uri)


def _file_of(uri: str) -> Path | None:
    """The SQLite file that runs are kept in; None where they are kept otherwise."""
    if not uri.startswith("sqlite:"):
        return None
    database = make_url(uri).database
    return Path(database) if database and database != ":memory:" else None


def _make(file: Path) -> None:
    """MLflow makes it table by table, and cannot open what was cut off in the middle of that."""
    from mlflow import MlflowClient

    partial = file.with_name(f"{file.name}.{uuid.uuid4().hex}.partial")
    try:
        MlflowClient(tracking_uri=f"sqlite:///{partial}")
        to_disk(partial)
        try:
            os.link(partial, file)  # and not in the place of one that another process has made meanwhile
        except FileExistsError:
            pass
        except OSError:  # some file systems have no links
            partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)
