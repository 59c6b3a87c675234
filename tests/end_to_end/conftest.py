"""Fixtures of the end-to-end tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from engine_kit import state_of, until
from house_kit import TINY, House, new_house


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """An empty house; its engines and terminals end with the test."""
    house = new_house(tmp_path)
    yield house
    house.close()


@pytest.fixture(scope="module")
def lived_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house where an endless search, "long", runs for all tests of a file."""
    house = new_house(tmp_path_factory.mktemp("lived-in"))
    said = house.cli("search", "--name", "long", "--epochs", "5000", *TINY, "--detach")
    assert said.returncode == 0, said.stderr
    until(lambda: state_of(house.run("long")).global_step > 2)
    yield house
    house.close()
