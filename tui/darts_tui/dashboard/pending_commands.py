"""Commands sent to the engine and not yet acknowledged."""

import asyncio
from collections.abc import Callable

from darts_engine.run.commands import Command
from darts_engine.run.errors import RunError
from darts_engine.run.folder import RunFolder


class PendingCommands:
    """The pending commands of one run.

    Args:
        folder: the run.
        on_failure: called with the error of a command that could not be written.
    """

    def __init__(self, folder: RunFolder, on_failure: Callable[[RunError], None]) -> None:
        self._folder, self._on_failure = folder, on_failure
        # Command id -> the word to show while it is pending, for commands that have one.
        self._words: dict[str, str] = {}

    @property
    def newest(self) -> str:
        """The word of the pending command that was sent last; empty without any."""
        return next(reversed(self._words.values()), "")

    def has(self, word: str) -> bool:
        """Whether a command with this word is pending."""
        return word in self._words.values()

    def send(self, command: Command, word: str = "") -> None:
        """Send a command; `word` is shown until it is acknowledged.

        The executor takes it at once. A worker of the app would be cancelled, and its command lost,
        if the user pressed q next.
        """
        if word:
            self._words[command.id] = word
        written = asyncio.get_running_loop().run_in_executor(None, self._folder.send, command)
        written.add_done_callback(lambda done: self._on_written(command, done))

    def acknowledge(self, command_id: str) -> None:
        """Forget a command that the engine has executed or rejected."""
        self._words.pop(command_id, None)

    def clear(self) -> None:
        """Forget all commands: no engine will acknowledge them."""
        self._words.clear()

    def _on_written(self, command: Command, written: "asyncio.Future[None]") -> None:
        error = written.exception()
        if isinstance(error, RunError):
            self.acknowledge(command.id)
            self._on_failure(error)
