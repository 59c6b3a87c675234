"""Errors for people: three lines at most, whatever foreign text is in them."""

import pytest

from darts_engine.run.errors import ForeignError, RunError


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\v", "\x85", "\u2028"])
def test_each_part_of_an_error_is_one_line(end: str) -> None:
    error = ForeignError(f"of method a{end}b", where=f"in{end}here", remedy=f"do{end}this")
    assert str(error).splitlines() == ["of method a b", "in here", "do this"]
    assert error.what == "of method a b"


def test_parts_without_text_are_left_out() -> None:
    assert str(RunError("what", remedy="next")).splitlines() == ["what", "next"]
