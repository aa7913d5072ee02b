"""What is done again now and then takes a small share of the time, however long it takes."""

import pytest

from pipelines.terminal.pace import Pace


@pytest.mark.parametrize("cost", [0.001, 0.1, 30.0])
@pytest.mark.parametrize(("share", "least"), [(0.02, 0.0), (0.1, 60.0)])
def test_it_takes_its_share_at_most_and_waits_no_longer_than_it_has_to(
    cost: float, share: float, least: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    it = Pace(share, least)
    assert it.due
    for _ in range(20):
        with it:
            now[0] += cost
        ended = now[0]
        assert not it.due
        now[0] = ended + max(least, cost * (1 - share) / share) * (1 + 1e-9)
        assert it.due
        assert cost / (now[0] - ended + cost) <= share * (1 + 1e-9)
