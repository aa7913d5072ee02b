"""Mappings whose values are made when they are first asked for."""

import pytest

from space.lazily import Lazily


def test_a_value_is_made_once_when_it_is_first_asked_for() -> None:
    made: list[int] = []

    def square(number: int) -> int:
        made.append(number)
        if number < 0:
            raise KeyError(number)
        return number**2

    squares = Lazily([3, 1, 2], square)
    assert list(squares) == [3, 1, 2]
    assert len(squares) == 3
    assert 2 in squares
    assert made == []
    assert (squares[2], squares[2]) == (4, 4)
    assert made == [2]
    assert dict(squares) == {3: 9, 1: 1, 2: 4}


def test_what_is_no_key_may_have_a_value_all_the_same() -> None:
    halves = Lazily([2], {2: 1, 4: 2}.__getitem__)
    assert halves[4] == 2
    assert 4 in halves
    assert 6 not in halves
    assert halves.get(6) is None
    assert list(halves) == [2]
    with pytest.raises(KeyError):
        halves[6]
