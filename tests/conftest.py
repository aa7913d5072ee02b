"""What all tests share."""

import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from unittest.mock import patch

import pytest
import torch

from space.registry import REGISTRIES
from tests.postgres import Postgres, running


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """These networks are so small that threads would mostly wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def registries() -> Iterator[None]:
    """What plug-ins register, and that they were loaded, is forgotten at the end."""
    with ExitStack() as stack:
        for registry in REGISTRIES:
            stack.enter_context(patch.dict(registry))
        yield
    for name in [name for name in sys.modules if re.search(r"_[0-9a-f]{12}(\.|$)", name)]:
        del sys.modules[name]


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A database server for all tests of a process."""
    with running() as server:
        if server is None:
            pytest.skip("PostgreSQL is not installed")
        yield server
