"""Reports of a reader of data sets about its progress, because a download may take an hour."""

from typing import Protocol


class Watch(Protocol):
    """Takes messages and progress. It may raise to end the work, as on a command to stop."""

    def note(self, message: str, level: str = "info") -> None:
        """Report a message for people; `level` is info, warning or error."""

    def fetched(self, file: str, done_bytes: int, total_bytes: int) -> None:
        """Report how much of a file is downloaded; called for every piece."""


class Unwatched:
    """Ignores all reports."""

    def note(self, message: str, level: str = "info") -> None:
        """Ignore it."""

    def fetched(self, file: str, done_bytes: int, total_bytes: int) -> None:
        """Ignore it."""
