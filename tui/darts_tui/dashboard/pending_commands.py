"""What the dashboard asks of a run's engine, and what of it is not done yet."""

import asyncio
from collections.abc import Callable

from darts_engine.run.commands import Command
from darts_engine.run.errors import RunError
from darts_engine.run.folder import RunFolder


class Wishes:
    """Commands for one run.

    Args:
        folder: the run.
        failed: told of a command that could not be written.
    """

    def __init__(self, folder: RunFolder, failed: Callable[[RunError], None]) -> None:
        self._folder, self._failed = folder, failed
        # The word to show for each command that has one and is under way, by the command's id.
        self._words: dict[str, str] = {}

    @property
    def newest(self) -> str:
        """The word of the command that was sent last of those under way; empty without any."""
        return next(reversed(self._words.values()), "")

    def has(self, word: str) -> bool:
        """Whether a command of this word is under way."""
        return word in self._words.values()

    def send(self, command: Command, word: str = "") -> None:
        """Hand a command over at once, not to a worker: what is asked before q must not be lost."""
        if word:
            self._words[command.id] = word
        written = asyncio.get_running_loop().run_in_executor(None, self._folder.send, command)
        written.add_done_callback(lambda done: self._on_written(command, done))

    def answered(self, command_id: str) -> None:
        """The engine has done or refused it."""
        self._words.pop(command_id, None)

    def give_up(self) -> None:
        """Nobody will answer any more."""
        self._words.clear()

    def _on_written(self, command: Command, written: "asyncio.Future[None]") -> None:
        error = written.exception()
        if isinstance(error, RunError):
            self.answered(command.id)
            self._failed(error)
