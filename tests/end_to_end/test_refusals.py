"""A data set that cannot be: three lines and exit code 4, and a dashboard that says what to do."""

import pytest
from house_kit import TINY, House


@pytest.mark.slow
def test_a_wrong_data_set_is_told_in_three_lines_with_exit_code_4(house: House):
    said = house.cli("search", "--name", "wrong", "--dataset", "npz:/nowhere.npz", *TINY)
    assert said.returncode == 4
    lines = said.stderr.decode().splitlines()
    assert lines[:2] == ["npz: there is nothing at this path", "/nowhere.npz"]
    assert len(lines) == 3


@pytest.mark.slow
def test_the_dashboard_shows_the_failure_and_what_to_do(house: House):
    (house.home / "bad.npz").write_bytes(b"bad")
    screen = house.terminal("search", "--name", "wrong", "--dataset", "npz:bad.npz", *TINY)
    screen.shows("wrong", "FAILED", "bad.npz", "darts-tui resume wrong")
    assert "Traceback" not in screen.text()
    screen.press("q")
    assert screen.wait() == 4
    assert "bad.npz" in screen.text()
    assert screen.modes == screen.modes_before
