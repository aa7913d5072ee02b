"""Freed memory that is kept."""

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
import torch
from trainers.allocator import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()
for _ in range(30):  # an aligned block does not fit into the hole that one of its size left, until holes have met
    torch.ones(1 << 24)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    torch.ones(1 << 24)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="speaks to glibc")
def test_memory_that_is_kept_needs_no_page_faults() -> None:
    kept, handed_back = (
        int(subprocess.run([sys.executable, "-c", FAULTS, way], check=True, capture_output=True, text=True).stdout)
        for way in ("kept", "handed back")
    )
    assert kept < 100 < handed_back
