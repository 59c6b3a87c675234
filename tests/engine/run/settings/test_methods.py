"""Methods as presets of axes: how a config takes them in, and what it refuses."""

import pytest

from darts_engine.run.errors import ConfigError, NotFoundError
from darts_engine.run.settings import config, presets
from darts_engine.run.settings.config import SearchConfig


def with_method(name: str, **changes: object) -> SearchConfig:
    asked = {"search.method": name} | {k.replace("__", "."): v for k, v in changes.items()}
    made = config.override(SearchConfig(), asked)
    assert isinstance(made, SearchConfig)
    return made


@pytest.mark.parametrize("name", presets.PRESETS)
def test_every_preset_is_a_config_of_known_settings(name: str):
    made = with_method(name)
    plain = config.to_plain(made)
    for key, value in presets.preset(name).settings.items():
        section, _, field = key.partition(".")
        assert plain[section][field] == value
    assert config.from_toml(config.to_toml(made)) == made


def test_what_is_set_stays_and_the_rest_is_the_papers():
    made = with_method("ms-darts", method__radius=0.1)
    assert made.method.perturbation == "mean-shift"
    assert made.method.radius == 0.1
    assert made.method.perturbation_steps == 2


def test_a_file_that_names_a_method_gets_its_settings_too():
    made = config.from_toml('kind = "search"\n[search]\nmethod = "fair-darts"\n')
    assert isinstance(made, SearchConfig)
    assert made.method.relaxation == "sigmoid"
    assert made.alpha.init_scale == 0


def test_another_method_takes_the_settings_of_the_one_before_with_it():
    before = with_method("ms-darts")
    after = config.override(before, {"search.method": "gdas"})
    assert isinstance(after, SearchConfig)
    assert after.method.relaxation == "gumbel"
    assert after.method.perturbation == "none"
    assert config.override(after, {"search.method": "darts"}) == SearchConfig()


def test_axes_combine():
    made = with_method("beta-darts", method__perturbation="mean-shift")
    assert (made.method.regulariser, made.method.perturbation) == ("beta-decay", "mean-shift")


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("gdas", {"method__perturbation": "random"}),
        ("fair-darts", {"method__perturbation": "adversarial"}),
        ("darts", {"method__regulariser": "zero-one"}),
        ("beta-darts", {"method__relaxation": "sigmoid"}),
        ("darts", {"method__relaxation": "guess"}),
    ],
)
def test_what_has_no_meaning_is_refused(name: str, changes: dict[str, object]):
    with pytest.raises(ConfigError):
        with_method(name, **changes)


def test_an_unknown_method_names_the_nearest():
    with pytest.raises(NotFoundError, match="ms-darts"):
        with_method("ms-dart")


def test_a_method_has_settings_of_its_own_in_some_spaces():
    searched = config.override(SearchConfig(), {"search.method": "sdarts-rs"})
    assert isinstance(searched, SearchConfig)
    assert searched.space.without_none
    for space in ("s3", "nasbench201"):
        there = config.override(searched, {"space.space": space})
        assert isinstance(there, SearchConfig)
        assert not there.space.without_none
    gdas = {"search.method": "gdas", "space.space": "nasbench201"}
    whole = config.from_plain({"kind": "search", "search": {"method": "gdas"},
                               "space": {"space": "nasbench201"}})  # fmt: skip
    assert config.override(SearchConfig(), gdas) == whole
    assert isinstance(whole, SearchConfig)
    assert whole.method.gumbel_gradient == "all"
    other = config.override(whole, {"space.space": "s1"})
    assert isinstance(other, SearchConfig)
    assert other.method.gumbel_gradient == "drawn"


def test_the_first_stage_has_all_candidates_or_the_search_is_refused():
    staged = {"search.method": "p-darts", "method.stage_candidates": "7,4,3"}
    with pytest.raises(ConfigError) as refused:
        config.override(SearchConfig(), staged)
    assert refused.value.remedy == "use --stage-candidates 8,4,3"
    assert config.override(SearchConfig(), staged | {"space.without_none": True})
    assert config.override(SearchConfig(), staged | {"space.space": "s2"})
