"""How far a search is, for whom reads it in a file."""

import os
import subprocess
import sys
from dataclasses import replace
from datetime import datetime

import pytest

from pipelines.terminal.progress import LOG_SECONDS, Display
from search.trials import Job, State, Trial
from space.design import Design

ENDS = (State.COMPLETE, State.STOPPED, State.COMPLETE, State.FAILED, State.COMPLETE, State.COMPLETE)


def test_in_a_file_a_line_a_minute_says_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Six trials end, one each 24 s; the third was a replicate; eight are to be complete."""
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    with Display([], 8, lambda trials: [], lambda trial: trial.state is State.COMPLETE) as display:
        for number, state in enumerate(ENDS):
            now[0] += 0.4 * LOG_SECONDS
            job = Job(backbone="tiny", design=Design.parse("se"), seed=0, costs={}, replicate=int(number == 2))
            trial = Trial(number=number, state=State.RUNNING, job=job, started=datetime(2026, 1, 1))
            display.started(trial)
            display.finished(replace(trial, state=state))
    assert capsys.readouterr().err.splitlines() == [
        "2 of 8   1 min 12 s done, 3 min 36 s left   again 1   stopped 1  failed 0",
        "4 of 8   2 min 24 s done, 2 min 24 s left   again 1   stopped 1  failed 1",
    ]


def test_nobody_has_to_read_what_is_said() -> None:
    """As after `search launch |& head`: rich would end the process, and exit codes tell of a search."""
    reader, writer = os.pipe()
    os.close(reader)
    talks = "from pipelines.terminal.console import say; say('one'); say('two'); print('done')"
    try:
        ended = subprocess.run(
            [sys.executable, "-c", talks], stdout=subprocess.PIPE, stderr=writer, text=True, check=True
        )
    finally:
        os.close(writer)
    assert ended.stdout == "done\n"
