"""Recipes: each is complete, sourced and valid for its kinds; options and files override it."""

import json
import re

import pytest

from darts_engine.run.architecture.text import published
from darts_engine.run.folder import RunFolder
from darts_engine.run.settings import config, recipes

NAMED = {
    "darts-cifar10",
    "darts-cifar100",
    "darts-imagenet",
    "darts-penn",
    "darts-wikitext2",
    "ms-darts-cifar100",
    "quick",
    "wrn-sam-cifar100",
}
FOR = [(name, kind) for name in recipes.names() for kind in recipes.read(name).kinds]


def test_all_recipes_are_there():
    assert set(recipes.names()) >= NAMED


@pytest.mark.parametrize(("name", "kind"), FOR)
def test_a_recipe_is_a_config_of_its_kinds_that_remembers_its_name(name, kind):
    made = config.from_plain(recipes.settings(name, kind))
    assert isinstance(made, config.KINDS[kind])
    assert made.basis.recipe == name
    assert config.from_toml(config.to_toml(made)) == made
    if kind == "train" and made.network.genotype:
        assert made.network.genotype in published()


@pytest.mark.parametrize("name", sorted(NAMED - {"quick"}))
def test_every_number_of_a_published_recipe_has_its_source_beside_it(name):
    recipe = recipes.read(name)
    unsourced = [
        line
        for line in recipe.text.splitlines()
        if re.search(r"= -?[\d.]", line) and "#" not in line and "lr_min" not in line
    ]
    assert [line for line in unsourced if not line.startswith("drop_path = 0.0")] == []
    assert recipe.about
    assert "arXiv" in recipe.source


def test_recipes_are_listed_and_explained(darts):
    listed = darts("recipes").out
    assert all(name in listed for name in NAMED)
    one = darts("recipes", "wrn-sam-cifar100")
    assert one.out == recipes.read("wrn-sam-cifar100").text
    described = json.loads(darts("recipes", "darts-cifar10", "--json").out)
    assert described["kinds"] == ["search", "train"]
    assert described["settings"]["search"]["search"]["order"] == 2
    assert len(json.loads(darts("recipes", "--json").out)) == len(recipes.names())
    unknown = darts("recipes", "dart-cifar10")
    assert (unknown.code, "'darts-cifar10'?" in unknown.err) == (5, True)


def test_options_come_on_top_of_a_file_and_a_file_on_top_of_its_recipe(
    darts, engine, runs, tmp_path
):
    engine("finish")
    file = tmp_path / "mine.toml"
    file.write_text(
        '[basis]\nrecipe = "darts-cifar10"\n[weights]\nlr = 0.5\n[search]\nepochs = 9\n'
    )
    result = darts(
        "search", "--name", "one", "--config", file, "--epochs", 3, "--progress", "quiet"
    )
    assert result.code == 0, result.err
    made = RunFolder(runs / "one").read_config()
    assert (made.data.dataset, made.space.channels) == ("cifar10", 16)
    assert (made.weights.lr, made.epochs, made.basis.recipe) == (0.5, 3, "darts-cifar10")
    # The run's own file has everything, so it repeats the run as it was.
    darts("search", "--name", "two", "--config", runs / "one" / "config.toml")
    assert RunFolder(runs / "two").read_config() == made


def test_the_wide_resnets_recipe_agrees_with_the_published_log(darts, engine, runs):
    engine("finish")
    result = darts(
        "train", "--name", "one", "--recipe", "wrn-sam-cifar100", "--network", "wrn-10-1"
    )
    assert result.code == 0, result.err
    made = RunFolder(runs / "one").read_config()
    assert (made.network.network, made.network.genotype) == ("wrn-10-1", "")
    assert (made.epochs, made.data.batch_size, made.weights.sam_rho) == (200, 128, 0.1)
    assert (made.weights.lr, made.weights.momentum, made.weights.weight_decay) == (0.1, 0.9, 5e-4)
    assert (made.train.label_smoothing, made.data.cutout, made.data.cutout_prob) == (0.1, 16, 0.5)
    assert made.weights.milestone_list() == [0.2, 0.5, 0.7, 0.85]
    assert (made.network.init, made.network.dropout, made.data.crop_padding) == ("fan-in", 0, 4)
    # A derived network has no such initialisation; a run's own file does not ask the recipe.
    refused = darts(
        "train", "--recipe", "wrn-sam-cifar100", "--network", "genotype", "--genotype", "DARTS_V2"
    )
    assert (refused.code, len(refused.error_lines)) == (2, 3)
    assert "--init fan-out" in refused.error_lines[-1]
    old = "kind = 'train'\n[basis]\nrecipe = 'wrn-sam-cifar100'\n[network]\nnetwork = 'wrn-10-1'"
    assert config.from_toml(old).network.init == "fan-out"


def test_the_recipes_for_text_have_the_published_settings(darts, engine, runs):
    engine("finish")
    result = darts("search", "--name", "s", "--recipe", "darts-penn", "--progress", "quiet")
    assert result.code == 0, result.err
    search = RunFolder(runs / "s").read_config()
    assert (search.space.space, search.space.nodes, search.text.width) == ("recurrent", 8, 300)
    assert (search.weights.lr, search.weights.lr_min, search.weights.weight_decay) == (20, 20, 5e-7)
    for name, width, hidden, decay in (("penn", 850, 0.25, 8e-7), ("wikitext2", 700, 0.15, 5e-7)):
        genotype = ("--genotype", "RNN_DARTS_V1") if name == "penn" else ()
        result = darts("train", "--name", name, "--recipe", f"darts-{name}", *genotype)
        assert result.code == 0, result.err
        made = RunFolder(runs / name).read_config()
        expected = published()["RNN_DARTS_V1" if genotype else "RNN_DARTS_V2"].genotype
        assert made.network.genotype == expected.text()
        assert (made.network.network, made.data.dataset) == ("recurrent", name)
        assert (made.text.width, made.text.hidden_dropout) == (width, hidden)
        assert (made.weights.weight_decay, made.weights.lr, made.epochs) == (decay, 20, 8000)
        assert (made.data.batch_size, made.text.nonmono, made.engine.seed) == (64, 5, 1267)
    refused = darts("train", "--recipe", "darts-penn", "--genotype", "DARTS_V2")
    assert (refused.code, len(refused.error_lines)) == (2, 3)
    assert "takes a recurrent genotype" in refused.err


def test_a_recipe_for_the_other_kind_of_run_is_refused_with_the_right_command(darts):
    result = darts("search", "--recipe", "wrn-sam-cifar100")
    assert result.code == 2
    assert result.error_lines[-1] == "use 'darts-tui train --recipe wrn-sam-cifar100'"


def test_a_protocol_takes_both_parts_of_a_recipe(darts, engine, runs):
    engine("finish")
    result = darts("protocol", "--name", "p", "--seeds", 1, "--final-seeds", 1, "--recipe", "quick")
    assert result.code == 0, result.err
    search, final = (RunFolder(runs / f"p-{kind}-0").read_config() for kind in ("search", "final"))
    assert (search.epochs, search.space.channels) == (8, 4)
    assert (final.epochs, final.network.channels) == (10, 8)
    assert "recipe quick" in (runs / "p" / "report.md").read_text()
