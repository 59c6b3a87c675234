"""Runs from before a setting existed keep the rules that they began with."""

from pathlib import Path
from typing import Any

import pytest
import tomli_w

from darts_engine.run.errors import ConfigError
from darts_engine.run.settings import config, earlier
from darts_engine.run.settings.config import SearchConfig
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


def kept_by(path: Path, **changes: Any) -> list[str]:
    """The rules that are kept, with dotted settings chosen on top of the file."""
    given = {key.replace("__", "."): value for key, value in changes.items()}
    return kept_rules(
        config.read_as_written(path), config.override(config.read(path), given), given
    )


@pytest.mark.parametrize("kind", ["search", "training"])
def test_a_config_of_0_1_0_is_known_by_what_it_lacks(kind: str):
    plain = config.read_as_written(GOLDEN / kind / "config.toml")
    known = config.known_fields(plain["kind"])
    assert earlier.is_earlier(plain, known)
    assert not earlier.is_earlier(config.to_plain(config.from_plain(plain)), known)
    del plain["data"]["flip"], plain["kind"]
    if kind == "search":
        assert earlier.is_earlier(plain, known)


def test_a_config_of_today_that_lost_a_line_is_of_today():
    plain = config.to_plain(SearchConfig())
    del plain["method"]["gumbel_gradient"]
    assert not earlier.is_earlier(plain, config.known_fields("search"))


def test_a_plain_search_keeps_nothing_that_it_would_have_to_name():
    assert kept_by(GOLDEN / "search" / "config.toml") == []


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
    assert kept_by(path) == kept
    plain = config.to_plain(read(path))
    for line in kept:
        was = line.split(" = ")[1].split(",")[0]
        assert str(earlier.value_of(plain, line.split()[0])).lower() == was


def test_what_is_chosen_on_top_has_todays_rules(tmp_path: Path):
    plain = GOLDEN / "search" / "config.toml"
    for given in ({"search.method": "gdas"}, {"search.method": "drnas"}, {"method.stop": "ranking"},
                  {"method.relaxation": "gumbel"}):  # fmt: skip
        assert config.override(read(plain), given) == config.override(
            config.from_plain(config.to_plain(read(plain))), given
        )
    made = config.override(read(plain), {"search.method": "drnas"})
    assert isinstance(made, SearchConfig)
    assert (made.method.edge_ranking, made.space.without_none) == ("softmax", True)
    gdas = file_of_0_1_0(tmp_path, search__method="gdas", method__relaxation="gumbel")
    assert kept_by(gdas, method__gumbel_gradient="drawn") == []
    assert kept_by(gdas, space__space="nasbench201") == []
    assert kept_by(gdas, search__method="darts") == []


def test_in_its_first_stage_it_had_all_candidates(tmp_path: Path):
    path = file_of_0_1_0(tmp_path, method__schedule="staged", method__stage_candidates="5,4,3")
    assert read(path).method.stage_candidates == "8,4,3"


@pytest.mark.parametrize(("key", "value"), [("method__stage_candidates", 5), ("space__space", [1]),
                                            ("method__relaxation", {})])  # fmt: skip
def test_a_value_of_another_kind_is_refused_like_any(tmp_path: Path, key: str, value: Any):
    path = file_of_0_1_0(tmp_path, method__schedule="staged", **{key: value})
    with pytest.raises(ConfigError):
        config.read(path)


def test_a_file_of_some_settings_takes_todays_defaults(tmp_path: Path):
    path = tmp_path / "mine.toml"
    path.write_text('kind = "search"\n[search]\nmethod = "gdas"\n')
    assert kept_by(path) == []
    assert read(path).method.gumbel_gradient == "drawn"


def test_a_training_by_a_recipe_keeps_its_initialisation(tmp_path: Path):
    plain = config.read_as_written(GOLDEN / "training" / "config.toml")
    plain["basis"]["recipe"] = "wrn-sam-cifar100"
    plain["network"] |= {"network": "wrn-34-10", "genotype": ""}
    path = tmp_path / "config.toml"
    path.write_text(tomli_w.dumps(plain))
    assert kept_by(path) == ["network.init = fan-out, where a new run has fan-in"]
