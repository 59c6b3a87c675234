"""Errors a user can cause, and the exit codes of every darts-tui process.

RunError                what happened / where / what to do next
|-- NotFoundError       no such run, file, genotype
|-- ConfigError         a setting that cannot be
|   `-- ExtensionError  what an installed package adds cannot be used
|-- DataError           a data set that cannot be read
|-- GenotypeError       a genotype that cannot be read or built
|-- CheckpointError     a checkpoint that cannot be trusted
|   `-- ForeignError    a checkpoint of another run
|-- UnsafeFileError     a file of a run that is no plain file of this user, or is too large
|-- BusyError           another engine holds the run
|-- LockError           a file system without locks, or with broken ones
|-- NotRepeatableError  a strict resume would not repeat the bits of before
|-- NotFiniteError      a loss, gradient or alpha is not finite
|-- TooLargeError       a step needs more memory than there is
`-- SpaceError          the disk is full
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit statuses of all darts-tui processes."""

    OK = 0
    FAILED = 1
    USAGE = 2
    BUSY = 3
    REFUSED = 4
    NOT_FOUND = 5
    NOT_FINITE = 6
    OUT_OF_MEMORY = 7
    NO_SPACE = 8
    REQUEUE = 75
    INTERRUPTED = 130
    TERMINATED = 143


class RunError(Exception):
    """A fault with a remedy, shown in at most three lines and without a traceback.

    Args:
        what: what happened.
        where: the file, line, key or argument it happened at.
        remedy: what the user does next.
    """

    exit_code = ExitCode.FAILED

    def __init__(self, what: str, *, where: str = "", remedy: str = "") -> None:
        self.what, self.where, self.remedy = map(_one_line, (what, where, remedy))
        super().__init__("\n".join(filter(None, (self.what, self.where, self.remedy))))


def _one_line(part: str) -> str:
    """A part of a message; foreign text in it may have line breaks of every kind."""
    return " ".join(part.splitlines())


class NotFoundError(RunError):
    """Something that the user named does not exist."""

    exit_code = ExitCode.NOT_FOUND


class ConfigError(RunError):
    """A setting is unknown, of the wrong type, or makes no sense."""

    exit_code = ExitCode.USAGE


class DataError(RunError):
    """A data set is missing, unreadable or inconsistent."""

    exit_code = ExitCode.REFUSED


class GenotypeError(RunError, ValueError):
    """A genotype cannot be read, or names what the space does not have."""

    exit_code = ExitCode.REFUSED


class CheckpointError(RunError):
    """A checkpoint is damaged, foreign or of another run."""

    exit_code = ExitCode.REFUSED


class ForeignError(CheckpointError):
    """A checkpoint is whole, but of another run or made with other settings."""


class UnsafeFileError(RunError):
    """A file of a run folder is a link, a pipe, another user's, or too large: it is not opened."""

    exit_code = ExitCode.REFUSED


class BusyError(RunError):
    """Another engine already runs in this folder."""

    exit_code = ExitCode.BUSY


class LockError(RunError):
    """The file system has no locks, or they fail: nothing is begun without one."""


class NotRepeatableError(RunError):
    """A strict resume would compute with other versions, threads or a device than before."""

    exit_code = ExitCode.REFUSED


class NotFiniteError(RunError):
    """A loss, gradient or alpha is not a finite number."""

    exit_code = ExitCode.NOT_FINITE


class TooLargeError(RunError):
    """A step would need more memory than there is."""

    exit_code = ExitCode.OUT_OF_MEMORY


class SpaceError(RunError):
    """There is no room on the disk."""

    exit_code = ExitCode.NO_SPACE


class ExtensionError(ConfigError):
    """Something that an installed package adds cannot be imported, or its name is taken."""

    exit_code = ExitCode.REFUSED
