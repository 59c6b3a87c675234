"""Whom reading a data set tells what it does, because a download may take an hour."""

from typing import Protocol


class Watch(Protocol):
    """Takes lines and progress; may raise to end the work, as when the run is asked to stop."""

    def note(self, message: str, level: str = "info") -> None:
        """A line for people; `level` is info, warning or error."""

    def fetched(self, file: str, done_bytes: int, total_bytes: int) -> None:
        """So much of a file is here; called for every piece."""


class Unwatched:
    """Nobody is told."""

    def note(self, message: str, level: str = "info") -> None:
        """Nothing."""

    def fetched(self, file: str, done_bytes: int, total_bytes: int) -> None:
        """Nothing."""
