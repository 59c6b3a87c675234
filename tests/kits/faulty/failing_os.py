"""An `os` whose n-th call fails once: put in place of the `os` of a module under test.

SQLite's way to test a file layer: for n = 1, 2, 3 ... until nothing fails any more, do the work
with call n failing, and look at what is on the disk.
"""

import errno
import os
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

# What asks the kernel for something that may fail. A failing `close` has closed, as on Linux.
CALLS = (
    "open", "fdopen", "close", "dup", "set_blocking", "write", "read", "pread", "lseek",
    "ftruncate", "fsync", "stat", "lstat", "fstat", "fchmod", "utime", "listdir", "mkdir", "rmdir",
    "unlink", "rename", "replace",
)  # fmt: skip


class FailingOs:
    """Stands in for `os`.

    Args:
        fails_at: the number of the call that fails, from 1; 0 is none.
        error: its errno.
        shortest: whether every write takes one byte only.

    Attributes:
        calls: the names of the calls so far.
    """

    def __init__(
        self, fails_at: int = 0, error: int = errno.EIO, *, shortest: bool = False
    ) -> None:
        self.error = error
        self._fails_at, self._shortest = fails_at, shortest
        self.calls: list[str] = []

    @property
    def has_failed(self) -> bool:
        """Whether the call that fails has been made."""
        return 0 < self._fails_at <= len(self.calls)

    @property
    def failed(self) -> str:
        """The name of the call that failed."""
        return self.calls[self._fails_at - 1]

    def __getattr__(self, name: str) -> Any:
        found = getattr(os, name)
        return self._counted(name, found) if name in CALLS else found

    def _counted(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **options: Any) -> Any:
            self.calls.append(name)
            if len(self.calls) == self._fails_at:
                if name == "close":
                    call(*arguments)
                elif name == "fdopen":
                    os.close(arguments[0])
                raise OSError(self.error, os.strerror(self.error))
            if name == "write" and self._shortest:
                return call(arguments[0], bytes(arguments[1][:1]))
            return call(*arguments, **options)

        return counted

    def put_into(self, patch: pytest.MonkeyPatch, *modules: ModuleType) -> None:
        """Let these modules use it as their `os`."""
        for module in modules:
            patch.setattr(module, "os", self)


def failing_once(errors: tuple[int, ...], *, most: int = 500) -> Iterator[FailingOs]:
    """One after another that fails at call 1, 2, 3 ..., until one has not failed."""
    for error in errors:
        for number in range(1, most):
            layer = FailingOs(number, error)
            yield layer
            if not layer.has_failed:
                break
        else:
            raise AssertionError(f"more than {most} calls")
