"""Making many objects that stay, without looking for garbage among them."""

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """No garbage is collected meanwhile, and none of what is there then is looked at later.

    A launch starts a fifth sooner: what it imports and reads are millions of objects.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        if enabled:
            gc.enable()
