"""The C library's allocator, told to keep the memory of feature maps.

glibc hands large blocks back to the system as soon as they are freed, and each new feature map then begins with page
faults: with ResNet20 on 32 x 32 images they take 40 % of a training step's time on a CPU.
"""

import ctypes
import platform

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Of malloc.h."""
LARGEST = 1 << 30
"""Bytes up to which a block is kept, and of free memory that are."""


def keep_freed_memory() -> bool:
    """Let this process keep what it frees for what it needs next; what it has freed before goes back once.

    Called before a network is worked with: in what others left its maps may not fit, and a process grew with each.

    Returns:
        Whether it does now: not where the C library is another one.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    libc.malloc_trim(0)
    return all([libc.mallopt(M_MMAP_THRESHOLD, LARGEST), libc.mallopt(M_TRIM_THRESHOLD, LARGEST)])
