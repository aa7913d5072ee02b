"""Seeds derived from seeds."""

import hashlib


def mix_seed(*parts: int) -> int:
    """A 32-bit seed from several numbers, such that different numbers give unrelated seeds."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:4])
