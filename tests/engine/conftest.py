"""Fixtures of the engine tests."""

from collections.abc import Callable, Iterator

import pytest
from engine_kit import Engine

from darts_engine.run.folder import RunFolder


@pytest.fixture
def start() -> Iterator[Callable[..., Engine]]:
    """Starts engines, and leaves none behind."""
    engines: list[Engine] = []

    def start(run: RunFolder, prepare: Callable[[], None] | None = None) -> Engine:
        engines.append(Engine(run, prepare))
        return engines[-1]

    yield start
    for engine in engines:
        engine.kill()
