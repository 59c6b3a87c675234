"""darts-tui bilevel: the path as JSON and as the paper's figure."""

import json

import pytest


def test_the_path_is_printed_for_programs(darts):
    found = json.loads(darts("bilevel", "--xi", "0.5", "--steps", "1500", "--json").out)
    assert found["xi"] == 0.5
    assert found["path"][0] == [2.0, -2.0]
    assert len(found["path"]) == 1501
    assert found["path"][-1] == pytest.approx([1.0, 1.0], abs=1e-3)


def test_the_figures_format_is_that_of_its_name(darts, tmp_path):
    pytest.importorskip("matplotlib")
    result = darts("bilevel", "--export", tmp_path / "toy.svg")
    assert result.code == 0, result.err
    assert "2 / (1 + 2 xi)" in result.out
    drawn = (tmp_path / "toy.svg").read_text()
    assert "first order" in drawn
    assert "optimum (1, 1)" in drawn


@pytest.mark.slow
def test_a_name_without_a_picture_format_is_refused(darts, tmp_path):
    result = darts("bilevel", "--steps", "1", "--export", tmp_path / "toy.gif")
    assert (result.code, len(result.error_lines)) == (2, 3)
