"""What the dashboard asks of a run's engine, and what of it is not done yet."""

import asyncio
from collections.abc import Callable

from darts_engine.run.commands import Command
from darts_engine.run.errors import RunError
from darts_engine.run.folder import RunFolder


class Wishes:
    """Wishes for one run.

    Args:
        folder: the run.
        failed: told of a wish that could not be written.
    """

    def __init__(self, folder: RunFolder, failed: Callable[[RunError], None]) -> None:
        self._folder, self._failed = folder, failed
        # The word to show for each wish that has one and is under way, by the wish's id.
        self._words: dict[str, str] = {}

    @property
    def newest(self) -> str:
        """The word of the wish that was sent last of those under way; empty without any."""
        return next(reversed(self._words.values()), "")

    def has(self, word: str) -> bool:
        """Whether a wish of this word is under way."""
        return word in self._words.values()

    def send(self, wish: Command, word: str = "") -> None:
        """Hand a wish over at once, not to a worker: what is asked before q must not be lost."""
        if word:
            self._words[wish.id] = word
        written = asyncio.get_running_loop().run_in_executor(None, self._folder.send, wish)
        written.add_done_callback(lambda done: self._on_written(wish, done))

    def answered(self, wish_id: str) -> None:
        """The engine has done or refused it."""
        self._words.pop(wish_id, None)

    def give_up(self) -> None:
        """Nobody will answer any more."""
        self._words.clear()

    def _on_written(self, wish: Command, written: "asyncio.Future[None]") -> None:
        error = written.exception()
        if isinstance(error, RunError):
            self.answered(wish.id)
            self._failed(error)
