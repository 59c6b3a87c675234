"""darts-tui bilevel: the path as JSON and as the paper's figure."""

import json

import pytest


def test_the_path_is_printed_for_programs(darts):
    found = json.loads(darts("bilevel", "--xi", "0.5", "--steps", "1500", "--json").out)
    assert found["xi"] == 0.5
    assert found["path"][0] == [2.0, -2.0]
    assert len(found["path"]) == 1501
    assert found["path"][-1] == pytest.approx([1.0, 1.0], abs=1e-3)


def test_the_figure_is_drawn_as_its_name_says(darts, tmp_path):
    pytest.importorskip("matplotlib")
    said = darts("bilevel", "--export", tmp_path / "toy.svg")
    assert said.code == 0, said.err
    assert "2 / (1 + 2 xi)" in said.out
    drawn = (tmp_path / "toy.svg").read_text()
    assert "first order" in drawn
    assert "optimum (1, 1)" in drawn


@pytest.mark.slow
def test_a_name_that_says_no_kind_of_picture_is_refused(darts, tmp_path):
    said = darts("bilevel", "--steps", "1", "--export", tmp_path / "toy.gif")
    assert (said.code, len(said.error_lines)) == (2, 3)
