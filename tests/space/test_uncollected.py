"""Making many objects that stay."""

import gc
from collections.abc import Iterator

import pytest

from space.uncollected import uncollected


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    yield
    gc.enable()
    gc.unfreeze()


def test_what_was_made_is_not_looked_at_again() -> None:
    with uncollected():
        made = [[number] for number in range(1000)]
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() > len(made)
    assert not any(it is made for it in gc.get_objects())


def test_one_in_another_collects_nothing_before_the_outer_one_is_over() -> None:
    with uncollected():
        with uncollected():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()


def test_after_an_error_garbage_is_collected_again() -> None:
    with pytest.raises(ZeroDivisionError), uncollected():
        raise ZeroDivisionError
    assert gc.isenabled()
