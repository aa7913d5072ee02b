"""What all tests share."""

import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from unittest.mock import patch

import pytest
import torch


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
    from search.samplers import SAMPLERS
    from space.attention import ATTENTION
    from space.backbones import FACTORIES
    from space.design import _SPECIAL_DEFAULTS, FIELDS
    from trainers.datasets import DATASETS

    with ExitStack() as stack:
        for registry in (FIELDS, _SPECIAL_DEFAULTS, ATTENTION, FACTORIES, SAMPLERS, DATASETS):
            stack.enter_context(patch.dict(registry))
        yield
    for name in [name for name in sys.modules if re.search("_[0-9a-f]{12}$", name)]:
        del sys.modules[name]
