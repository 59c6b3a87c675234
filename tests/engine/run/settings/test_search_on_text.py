"""Searches on text: what the space brings, and what it and images have no use for."""

from typing import Any

import pytest

from darts_engine.run.architecture.spaces import SPECS
from darts_engine.run.errors import ConfigError
from darts_engine.run.settings import search_on_text
from darts_engine.run.settings.config import (
    SearchConfig,
    from_plain,
    from_toml,
    override,
    settings,
    to_plain,
    to_toml,
)

SPACE = {"space.space": "recurrent"}
BROUGHT = SPECS["recurrent"].begins_with
METHODS = (
    "darts", "darts-2nd", "gdas", "sdarts-rs", "sdarts-adv", "ms-darts", "r-darts-es",
    "r-darts-ada", "r-darts-l2", "darts-minus", "beta-darts", "drnas", "random",
)  # fmt: skip
REFUSED = {
    "pc-darts": "hidden state",
    "p-darts": "one",
    "fair-darts": "exactly one edge",
    "r-darts-dp": "drop path",
    "darts-plus": "no skip connections",
    "sgas": "keeps one",
}


def on_text(**changes: Any) -> SearchConfig:
    dotted = {key.replace("__", "."): value for key, value in changes.items()}
    made = override(SearchConfig(), SPACE | dotted)
    assert isinstance(made, SearchConfig)
    return made


def value(config: SearchConfig, key: str) -> Any:
    section, _, field = key.partition(".")
    return getattr(getattr(config, section), field)


def test_the_space_brings_its_settings_from_the_command_line_and_from_a_file() -> None:
    for made in (on_text(), from_plain({"space": {"space": "recurrent"}})):
        assert isinstance(made, SearchConfig)
        assert {key: value(made, key) for key in BROUGHT} == BROUGHT
        assert from_toml(to_toml(made)) == made


def test_what_is_set_stays_and_another_space_restores_the_rest() -> None:
    made = on_text(space__nodes=3, search__epochs=2, text__width=20)
    assert (made.space.nodes, made.search.epochs) == (3, 2)
    told = from_plain({"space": {"space": "recurrent", "nodes": 3}, "search": {"epochs": 2}})
    assert (told.space.nodes, told.search.epochs) == (3, 2)
    again = override(on_text(), {"space.space": "darts"})
    assert again == SearchConfig()
    assert override(made, {"engine.seed": 4}).space.nodes == 3


def test_a_rate_that_is_constant_stays_constant() -> None:
    assert on_text(weights__lr=3.0).weights.lr_min == 3.0
    assert override(on_text(), {"weights.lr": 4.0}).weights.lr_min == 4.0
    told = from_plain({"space": {"space": "recurrent"}, "weights": {"lr": 2.0}})
    assert told.weights.lr_min == 2.0
    falling = on_text(weights__lr=3.0, weights__lr_min=1.0)
    assert falling.weights.lr_min == 1.0
    assert override(falling, {"weights.lr": 4.0}).weights.lr_min == 1.0
    assert override(SearchConfig(), {"weights.lr": 0.2}).weights.lr_min == 0.001


def test_a_methods_own_settings_count_more_than_the_spaces() -> None:
    decay = on_text(search__method="r-darts-l2").weights.weight_decay
    # As many times the usual decay as on images.
    assert decay == pytest.approx(27 * BROUGHT["weights.weight_decay"])
    images = override(SearchConfig(), {"search.method": "r-darts-l2"})
    assert images.weights.weight_decay == 81e-4
    assert override(images, SPACE).weights.weight_decay == decay
    back = override(on_text(search__method="r-darts-l2"), {"search.method": "darts"})
    assert back.weights.weight_decay == BROUGHT["weights.weight_decay"]
    assert on_text(search__method="random").alpha.init_scale == 1.0


@pytest.mark.parametrize("method", METHODS)
def test_a_method_that_has_a_meaning_on_text_is_taken(method: str) -> None:
    assert from_toml(to_toml(on_text(search__method=method))).search.method == method


@pytest.mark.parametrize(("method", "why"), REFUSED.items())
def test_a_method_without_one_is_refused_with_the_reason(method: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        on_text(search__method=method)


def test_every_setting_of_images_is_refused_on_text_unless_it_is_as_ever() -> None:
    defaults = {setting.key: setting for setting in settings("search")}
    assert set(search_on_text.OF_IMAGES) < set(defaults)
    for key in search_on_text.OF_IMAGES:
        setting = defaults[key]
        changed: Any = f"{setting.default}x"
        if setting.type is bool:
            changed = not setting.default
        elif setting.type is int:
            changed = setting.default + 2
        elif setting.type is float:
            changed = setting.default / 2 + 0.0001
        with pytest.raises(ConfigError) as refusal:
            override(on_text(), {key: changed})
        assert str(refusal.value).count("\n") <= 2
        assert setting.option_name in str(refusal.value)


@pytest.mark.parametrize(
    ("key", "changed"),
    [
        ("method.schedule", "greedy"),
        ("method.schedule", "staged"),
        ("method.stop", "skip-count"),
        ("method.derivation", "threshold"),
        ("method.derivation", "skip-limited"),
        ("method.gumbel_gradient", "all"),
        ("text.tokens", "syllables"),
        ("text.hvp_scale", "none"),
        ("text.statistics", "mean"),
        ("text.eval_batch", 1),
        ("text.hvp_scale", "official"),
        ("text.redraw_masks", True),
        ("data.dataset", "digits"),
        ("space.nodes", 13),
        ("space.nodes", 0),
        ("text.bptt", 1),
        ("text.width", 0),
        ("text.output_dropout", 1.0),
        ("data.batch_size", 1),
    ],
)
def test_what_cannot_be_on_text_is_refused(key: str, changed: object) -> None:
    with pytest.raises(ConfigError):
        override(on_text(), {key: changed})


def test_settings_of_second_order_need_it() -> None:
    made = on_text(search__order=2, text__redraw_masks=True, text__hvp_scale="official")
    assert made.text.redraw_masks


def test_every_setting_of_text_is_refused_on_images() -> None:
    for field, there in to_plain(on_text())["text"].items():
        changed = not there if isinstance(there, bool) else "x" if isinstance(there, str) else 3
        with pytest.raises(ConfigError):
            override(SearchConfig(), {f"text.{field}": changed})
    with pytest.raises(ConfigError, match="is a text"):
        override(SearchConfig(), {"data.dataset": "verses"})


def test_a_text_is_read_by_one_process() -> None:
    search_on_text.refuse_processes(SearchConfig(), 2)
    search_on_text.refuse_processes(on_text(), 1)
    with pytest.raises(ConfigError, match="one process"):
        search_on_text.refuse_processes(on_text(), 2)


def test_every_setting_of_a_search_on_text_survives_toml() -> None:
    changed = on_text(search__order=2)
    for setting in settings("search"):
        if setting.section == "text" and setting.type is float:
            changed = override(changed, {setting.key: setting.default / 2 + 0.0001})
        elif setting.section == "text" and setting.type is int:
            changed = override(changed, {setting.key: setting.default + 2})
    words = {"tokens": "characters", "hvp_scale": "official", "statistics": "running"}
    changed = override(changed, {f"text.{field}": word for field, word in words.items()})
    assert from_toml(to_toml(changed)) == changed
