"""The config: one value, a TOML file and an option for every setting."""

import contextlib
from pathlib import Path

import pytest
from effort import times
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from darts_engine.run.errors import ConfigError
from darts_engine.run.settings import config
from darts_engine.run.settings.config import KINDS, Config, from_toml, override, settings, to_toml

LISTED = {
    "stem": "imagenet", "hvp": "exact", "order": 2, "network": "wrn-10-1", "schedule": "step",
    "init": "fan-in",
    "smoothing": "others", "milestones": "0.5", "method": "darts-2nd", "relaxation": "dirichlet",
    "regulariser": "beta-decay", "perturbation": "random", "zero_one_form": "l1",
    "stop": "ranking", "derivation": "joint", "partial_channels": 5,
    "method.schedule": "staged", "stage_layers": "0,1,2", "stage_candidates": "8,3,2",
    "stage_skip_dropout": "0.1,0.2,0.3", "stage_lr": "continue", "edge_ranking": "mean",
    "gumbel_gradient": "all", "resting_weights": "drift",
    # These exclude some of the others.
    "architect": "gradient", "compile": False, "checkpoint_activations": False,
}  # fmt: skip
KIND = pytest.mark.parametrize("kind", KINDS)


@KIND
def test_the_defaults_survive_toml(kind: str) -> None:
    assert from_toml(to_toml(KINDS[kind]())) == KINDS[kind]()


@KIND
def test_every_setting_survives_toml_when_it_is_not_the_default(kind: str) -> None:
    changed: Config = KINDS[kind]()
    for setting in settings(kind):
        # Those of text are refused on images, and have tests of their own.
        if setting.section == "text":
            continue
        value = _another(setting)
        changed = override(changed, {setting.key: value})
        assert getattr(getattr(changed, setting.section), setting.field) == value
    assert from_toml(to_toml(changed)) == changed


def _another(setting: config.Setting) -> object:
    if setting.key in LISTED:
        return LISTED[setting.key]
    if setting.field in LISTED:
        return LISTED[setting.field]
    if setting.type is bool:
        return not setting.default
    if setting.type is int:
        return setting.default + 2
    if setting.type is float:
        return setting.default / 2 + 0.0001
    return setting.default + "x"


@KIND
def test_every_setting_has_an_option_and_a_description_of_its_own(kind: str) -> None:
    names = [setting.option_name for setting in settings(kind)]
    assert len(names) == len(set(names))
    assert all(setting.description.endswith(".") for setting in settings(kind))


@hypothesis_settings(max_examples=times(100, full=10_000), deadline=None)
@given(st.text(), st.integers(0, 2**63 - 1), st.floats(1e-300, 1e300))
def test_any_text_and_number_survives_toml(dataset: str, seed: int, lr: float) -> None:
    changes = {"data.dataset": dataset, "engine.seed": seed, "weights.lr": lr,
               "weights.lr_min": 0.0}  # fmt: skip
    asked = override(KINDS["search"](), changes)
    assert from_toml(to_toml(asked)) == asked


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[search]\nepoch = 3", "search.epochs"),
        ("[serch]\nepochs = 3", "search"),
        ("[search]\nlr = 0.1", "weights.lr"),
        ("epochs = 3", "search.epochs"),
        ("[train]\nepochs = 3", "search"),
        ("[weights]\nlr_mim = 0.1", "weights.lr_min"),
    ],
)
def test_an_unknown_key_is_refused_and_the_nearest_one_named(text: str, named: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        from_toml(text, where="mine.toml")
    assert named in refusal.value.remedy
    assert refusal.value.where == "mine.toml"


@pytest.mark.parametrize(
    "text",
    [
        "kind = []",
        "kind = 'serach'",
        "search = 3",
        "[[search]]\nepochs = 3",
        "[search]\nepochs = '3'",
        "[search]\nepochs = 2.5",
        "[search]\nepochs = 0",
        "[search]\nepochs = true",
        "[engine]\nseed = -1",
        "[engine]\nseed = " + "9" * 30,
        "[engine]\nseed = " + "9" * 5000,
        "[weights]\nmomentum = 1.0",
        "[weights]\nlr = nan",
        "[weights]\nlr = inf",
        "[weights]\nlr = 1979-05-27",
        "[weights]\nlr = 0.1\nlr_min = 0.2",
        "[space]\nchannels = 7",
        "kind = 'train'\n[network]\nstem = 'mnist'",
        "kind = 'train'\n[network]\nnetwork = 'wrn-11-1'",
        "kind = 'train'\n[network]\nnetwork = 'resnet'",
        "kind = 'train'\n[network]\ndropout = 0.3",
        "kind = 'train'\n[network]\ninit = 'fan-in'",
        "kind = 'train'\n[network]\nnetwork = 'wrn-10-1'\ninit = 'zero'",
        "kind = 'train'\n[weights]\nschedule = 'cyclic'",
        "kind = 'train'\n[weights]\nmilestones = '0.5,0.3'",
        "kind = 'train'\n[weights]\nmilestones = 'nan'",
        "kind = 'train'\n[weights]\nmilestones = ''",
        "kind = 'train'\n[weights]\nsam_adaptive = true",
        "kind = 'train'\n[weights]\nnesterov = true\nmomentum = 0.0",
        "kind = 'train'\n[train]\nsmoothing = 'all'",
        "kind = 'search'\n[weights]\nsam_rho = 0.1",
        "a = " + "[" * 5000,
        "not toml",
        "#" + "x" * config.MAX_BYTES,
    ],
    ids=lambda text: text[:40],
)
def test_what_cannot_be_is_refused_with_a_config_error(text: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        from_toml(text)
    assert str(refusal.value).count("\n") <= 2


def test_a_path_that_is_no_text_is_refused_before_a_run_is_made() -> None:
    with pytest.raises(ConfigError):
        override(KINDS["search"](), {"data.dataset": "npz:\udcff.npz"})


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    noise = tmp_path / "noise.toml"
    noise.write_bytes(b"\xff\xff")
    for path in (tmp_path, tmp_path / "missing.toml", noise):
        with pytest.raises(ConfigError) as refusal:
            config.read(path)
        assert str(path) in refusal.value.where


@hypothesis_settings(max_examples=times(150, full=2_000), deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["kind", "search", "engine", "weights", "x"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
            lambda inner: (
                st.lists(inner) | st.dictionaries(st.sampled_from(["seed", "lr", "epochs"]), inner)
            ),
            max_leaves=6,
        ),
    )
)
def test_any_nested_value_makes_a_config_or_a_config_error(plain: dict[str, object]) -> None:
    with contextlib.suppress(ConfigError):
        config.from_plain(plain)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_a_config_as_windows_writes_it_is_read_or_refused_in_one_sentence(tmp_path, encoding):
    path = tmp_path / "config.toml"
    path.write_bytes("[search]\r\nepochs = 7\r\n".encode(encoding))
    if encoding.startswith("utf-16-"):
        with pytest.raises(ConfigError, match=r"^the config is in UTF-16\n"):
            config.read(path)
        path.write_bytes(
            {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}[encoding] + path.read_bytes()
        )
    assert config.read(path).epochs == 7


def test_a_config_in_another_encoding_is_refused_in_one_sentence(tmp_path):
    path = tmp_path / "config.toml"
    path.write_bytes(b'[data]\ndataset = "folder:caf\xe9"\n')
    with pytest.raises(ConfigError, match=r"^the config is no text in UTF-8\n"):
        config.read(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[search]\nepochs = "x"', "--epochs cannot be 'x': it is an integer"),
        ("[search]\nepochs = -1", "--epochs cannot be -1: it is an integer >= 1"),
        ("[data]\nflip = 3", "--flip cannot be 3: it is true or false"),
        ('[weights]\nlr = "fast"', "--lr cannot be 'fast': it is a number"),
        ("[alpha]\nlr = true", "--alpha-lr cannot be True: it is a number"),
        ("[data]\ndataset = [1]", r"--dataset cannot be \[1\]: it is text"),
        ("data = 3", r"\[data\] must be a table: 3"),
    ],
)
def test_a_wrong_value_is_told_by_the_name_of_its_option(text, words):
    with pytest.raises(ConfigError, match=f"^{words}") as refusal:
        config.from_toml(text, where="mine.toml")
    assert "$" not in str(refusal.value)
    assert refusal.value.where.startswith("mine.toml")
