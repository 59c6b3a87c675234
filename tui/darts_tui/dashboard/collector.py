"""Keeps Python's search for garbage in cycles away from what stays."""

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Inside, nothing is searched for cycles, and what is there at the end never is.

    A search walks through all objects there are, and everything else waits for it: a fifth of a
    second where a long run has a hundred thousand lists.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
