"""Runs from before a setting existed keep the rules that they began with."""

from pathlib import Path
from typing import Any

import pytest
import tomli_w

from darts_engine.run.settings import config, earlier
from darts_engine.run.settings.config import SearchConfig, read_as_written
from darts_engine.run.settings.kept import kept_rules

GOLDEN = Path(__file__).parents[3] / "golden" / "runs"


def file_of_0_1_0(tmp_path: Path, **changes: Any) -> Path:
    """The config file of a search of version 0.1.0, with dotted settings changed."""
    plain = config.read_as_written(GOLDEN / "search" / "config.toml")
    for key, value in changes.items():
        section, _, field = key.partition("__")
        plain[section][field] = value
    path = tmp_path / "config.toml"
    path.write_text(tomli_w.dumps(plain))
    return path


def read(path: Path) -> SearchConfig:
    found = config.read(path)
    assert isinstance(found, SearchConfig)
    return found


@pytest.mark.parametrize("kind", ["search", "training"])
def test_a_run_of_0_1_0_lacks_what_came_later_and_nothing_else(kind: str):
    plain = config.read_as_written(GOLDEN / kind / "config.toml")
    known = config.known_fields(plain["kind"])
    assert earlier.is_earlier(plain, known)
    whole = earlier.completed(plain, known)
    assert all(set(whole[section]) == known[section] for section in known)
    assert not earlier.is_earlier(whole, known)
    assert config.to_plain(config.read(GOLDEN / kind / "config.toml")) == whole


def test_a_plain_search_keeps_nothing_that_it_would_have_to_name():
    assert kept_rules(read_as_written(GOLDEN / "search" / "config.toml")) == []


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({"search__method": "gdas", "method__relaxation": "gumbel"},
         ["method.gumbel_gradient = all, where a new run has drawn"]),
        ({"search__method": "drnas", "method__relaxation": "dirichlet"},
         ["method.edge_ranking = mean, where a new run has softmax",
          "space.without_none = false, where a new run has true"]),
        ({"search__method": "sdarts-rs", "method__perturbation": "random"},
         ["space.without_none = false, where a new run has true"]),
        ({"method__stop": "ranking"},
         ["method.ranking_counts_none = true, where a new run has false"]),
        ({"space__space": "1shot1-1", "space__nodes": 4, "space__bn_momentum": 0.003},
         ["space.last_bn_momentum = 0.003, where a new run has 0.1"]),
    ],
)  # fmt: skip
def test_it_keeps_its_rule_and_names_it(tmp_path: Path, changes: dict[str, Any], kept: list[str]):
    path = file_of_0_1_0(tmp_path, **changes)
    assert kept_rules(read_as_written(path)) == kept
    plain = config.to_plain(read(path))
    for line in kept:
        section, _, field = line.split()[0].partition(".")
        was = line.split(" = ")[1].split(",")[0]
        assert str(plain[section][field]).lower() == was


def test_in_its_first_stage_it_had_all_candidates(tmp_path: Path):
    path = file_of_0_1_0(tmp_path, method__schedule="staged", method__stage_candidates="5,4,3")
    assert read(path).method.stage_candidates == "8,4,3"


def test_a_file_of_some_settings_takes_todays_defaults(tmp_path: Path):
    path = tmp_path / "mine.toml"
    path.write_text('kind = "search"\n[search]\nmethod = "gdas"\n')
    assert kept_rules(read_as_written(path)) == []
    assert read(path).method.gumbel_gradient == "drawn"


def test_a_training_by_a_recipe_keeps_its_initialisation(tmp_path: Path):
    plain = config.read_as_written(GOLDEN / "training" / "config.toml")
    plain["basis"]["recipe"] = "wrn-sam-cifar100"
    plain["network"] |= {"network": "wrn-34-10", "genotype": ""}
    path = tmp_path / "config.toml"
    path.write_text(tomli_w.dumps(plain))
    assert kept_rules(read_as_written(path)) == [
        "network.init = fan-out, where a new run has fan-in"
    ]
