"""Fixtures of the end-to-end tests."""

import signal
from collections.abc import Iterator
from pathlib import Path

import fake_run
import pytest
from engine_kit import Engine, make_run, state_of, step_slowly, until
from house_kit import House, goes_on, new_house

from darts_engine.run.folder import RunFolder


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """An empty house; its engines and terminals end with the test."""
    house = new_house(tmp_path)
    yield house
    house.close()


@pytest.fixture
def paused(house: House) -> Iterator[RunFolder]:
    """A made-up run in the house, whose engine seems to live."""
    run = fake_run.make_run(house.runs, "made-up", phase="paused")
    with fake_run.engine_alive(run):
        yield run


@pytest.fixture(scope="session")
def endless(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[House, Engine]]:
    """A house with an endless search, "long", and its engine, stopped by SIGSTOP."""
    house = new_house(tmp_path_factory.mktemp("lived-in"))
    engine = Engine(make_run(house.runs, "long", search__epochs=5000), step_slowly)
    until(lambda: state_of(house.run("long")).global_step > 2)
    engine.send_signal(signal.SIGSTOP)
    yield house, engine
    house.close()
    engine.kill()


@pytest.fixture
def lived_in(endless: tuple[House, Engine]) -> Iterator[House]:
    """A house where "long" runs, for all tests that watch it; between them it takes no time."""
    house, engine = endless
    engine.send_signal(signal.SIGCONT)
    goes_on(house.run("long"))
    yield house
    engine.send_signal(signal.SIGSTOP)
