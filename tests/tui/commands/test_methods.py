"""darts-tui methods: what there is, what it is made of, and what does not go together."""

import json

import pytest

from darts_engine.run.settings.methods import CHOICES
from darts_engine.run.settings.presets import PRESETS


def test_all_methods_are_listed_for_people_and_for_programs(darts):
    result = darts("methods")
    assert result.code == 0
    assert all(f"\n{name} " in f"\n{result.out}" for name in PRESETS)
    assert [one["name"] for one in json.loads(darts("methods", "--json").out)] == list(PRESETS)


@pytest.mark.parametrize("name", ["ms-darts", "fair-darts", "random"])
def test_a_method_is_explained_with_paper_axes_and_settings(darts, name):
    found = json.loads(darts("methods", name, "--json").out)
    assert found["paper"] == PRESETS[name].paper
    assert set(CHOICES) <= set(found["axes"])
    assert found["settings"] == PRESETS[name].settings
    result = darts("methods", name)
    assert PRESETS[name].paper in result.out
    assert "--architect" in result.out


def test_what_has_no_meaning_together_is_printed_with_the_reason(darts):
    output = darts("methods", "gdas").out
    assert "--perturbation random: a perturbation moves mixing weights" in output
    assert "--relaxation gumbel --perturbation random" in darts("methods").out
    refused = darts("search", "--method", "gdas", "--perturbation", "random", "--detach")
    assert refused.code == 2
    assert "darts-tui methods" in refused.err


def test_an_unknown_method_names_the_nearest(darts):
    result = darts("methods", "gdaz")
    assert (result.code, result.error_lines[-1]) == (5, "did you mean 'gdas'?")


def test_a_method_names_the_spaces_it_has_no_meaning_in(darts):
    output = darts("methods", "pc-darts").out
    assert "--space 1shot1-1, 1shot1-2, 1shot1-3, nasbench201: partial channels" in output
    assert "--space" not in darts("methods", "darts").out.partition("has no meaning")[2]
