"""The config of a run: one frozen, nested value, written to and read from TOML.

Every field is also a command-line option (`option_name`), made from the field, so that file and
command line always agree. Defaults are sized for the bundled digits; recipes change them.
"""

import codecs
import difflib
import re
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec
import tomli_w
from msgspec import Meta

from darts_engine.run.architecture import spaces
from darts_engine.run.errors import ConfigError
from darts_engine.run.settings import earlier, presets, training_on_text
from darts_engine.run.settings.refusals import (
    HVP,
    INITS,
    SCHEDULES,
    SMOOTHINGS,
    STEMS,
    refuse_nonsense,
)
from darts_engine.run.settings.sections import (
    AlphaSection,
    BasisSection,
    CheckpointSection,
    Config,
    DataSection,
    EngineSection,
    NetworkSection,
    SearchConfig,
    SearchSection,
    SpaceSection,
    TrainConfig,
    TrainSection,
    TrainWeightsSection,
    WeightsSection,
)
from darts_engine.run.settings.text_sections import (
    SearchTextSection,
    Section,
    TextSection,
    TrainTextSection,
)

__all__ = [
    "HVP",
    "INITS",
    "KINDS",
    "SCHEDULES",
    "SMOOTHINGS",
    "STEMS",
    "AlphaSection",
    "BasisSection",
    "CheckpointSection",
    "Config",
    "DataSection",
    "EngineSection",
    "NetworkSection",
    "SearchConfig",
    "SearchSection",
    "SearchTextSection",
    "Section",
    "Setting",
    "SpaceSection",
    "TextSection",
    "TrainConfig",
    "TrainSection",
    "TrainTextSection",
    "TrainWeightsSection",
    "WeightsSection",
    "completed",
    "decode",
    "from_plain",
    "from_toml",
    "known_fields",
    "override",
    "read",
    "read_as_written",
    "read_plain",
    "settings",
    "tables",
    "to_plain",
    "to_toml",
]

MAX_BYTES = 1_000_000
KINDS: dict[str, type[SearchConfig] | type[TrainConfig]] = {
    "search": SearchConfig,
    "train": TrainConfig,
}


class Setting(msgspec.Struct, frozen=True):
    """One field as an option: its table, name, type, default and one-line description."""

    section: str
    field: str
    type: type
    default: Any
    description: str

    @property
    def key(self) -> str:
        """The dotted TOML key."""
        return f"{self.section}.{self.field}"

    @property
    def option_name(self) -> str:
        """The command-line option: `--FIELD`, with the prefix `alpha-` in the table `alpha`."""
        prefix = "alpha-" if self.section == "alpha" else ""
        return f"--{prefix}{self.field.replace('_', '-')}"


def settings(kind: str) -> list[Setting]:
    """Every setting of a kind of run, in the file's order."""
    out = []
    config = KINDS[kind]()
    for section in config.__struct_fields__:
        table = getattr(config, section)
        hints = get_type_hints(type(table), include_extras=True)
        for field in table.__struct_fields__:
            hint = hints[field]
            base, meta = get_args(hint)[:2] if get_origin(hint) is Annotated else (hint, Meta())
            out.append(Setting(section, field, base, getattr(table, field), meta.description or ""))
    return out


def known_fields(kind: str) -> dict[str, set[str]]:
    """The fields of each table of a kind of run; empty where there is no such kind."""
    known: dict[str, set[str]] = {}
    for setting in settings(kind) if kind in KINDS else ():
        known.setdefault(setting.section, set()).add(setting.field)
    return known


def to_plain(config: Config) -> dict[str, Any]:
    """Nested dictionaries, ready for JSON or TOML."""
    plain: dict[str, Any] = msgspec.to_builtins(config)
    return plain


def to_toml(config: Config) -> str:
    """The TOML text of a config; `from_toml` makes an equal config of it."""
    return tomli_w.dumps(to_plain(config))


def from_plain(plain: dict[str, Any], *, where: str = "") -> Config:
    """Check nested dictionaries and make the config.

    Raises:
        ConfigError: a key is unknown (the hint has the most similar one) or a value not allowed.
    """
    kind = plain.get("kind", "search")
    if not isinstance(kind, str) or kind not in KINDS:
        raise ConfigError(
            f"unknown kind of run {kind!r}", where=where, remedy="use search or train"
        )
    _refuse_unknown(plain, kind, where)
    if kind == "search":
        plain = spaces.with_own_settings(presets.with_preset(plain))
    else:
        plain = training_on_text.with_network(plain)
    try:
        config = msgspec.convert(plain, KINDS[kind])
        # A path that is no valid text could not be written into the event log.
        msgspec.json.encode(config)
    except msgspec.ValidationError as error:
        raise _cannot_be(str(error), plain, kind, where) from None
    except UnicodeEncodeError as error:
        raise ConfigError(f"a setting is no valid text: {error}", where=where) from None
    refuse_nonsense(config, where)
    return config


_EXPECTED = re.compile(r"Expected `(\w+)`(.*?)(?:, got `\w+`)? - at `\$\.(\w+)(?:\.(\w+))?`")
_WORDS = {"int": "an integer", "float": "a number", "bool": "true or false", "str": "text",
          "object": "a table"}  # fmt: skip


def _cannot_be(message: str, plain: dict[str, Any], kind: str, where: str) -> ConfigError:
    """The error for a value of a wrong type or range, by the name of its option."""
    found = _EXPECTED.match(message)
    if found is None:
        return ConfigError(f"a setting cannot be: {message}", where=where)
    expected, limit, section, field = found.groups()
    wanted = _WORDS.get(expected, expected) + limit
    if field is None:
        return ConfigError(f"[{section}] must be {wanted}: {plain[section]!r}"[:200], where=where)
    setting = next(s for s in settings(kind) if (s.section, s.field) == (section, field))
    return ConfigError(
        f"{setting.option_name} cannot be {plain[section][field]!r:.80}: it is {wanted}",
        where=f"{where}, {setting.key}" if where else setting.key,
        remedy=f"the default is {setting.default!r}",
    )


def from_toml(text: str, *, where: str = "") -> Config:
    """Read a config.

    Raises:
        ConfigError: as `from_plain`, or the text is not TOML.
    """
    return from_plain(decode(text, where=where), where=where)


def decode(text: str, *, where: str = "") -> dict[str, Any]:
    """The tables of a TOML text, unchecked; those of a run of an earlier version are completed.

    Raises:
        ConfigError: the text is not TOML.
    """
    return completed(tables(text, where=where))


def completed(plain: dict[str, Any]) -> dict[str, Any]:
    """Nested settings; those of a run of an earlier version keep its rules (`earlier.py`)."""
    return earlier.completed(plain, known_fields(earlier.kind_of(plain)))


def tables(text: str, *, where: str = "") -> dict[str, Any]:
    """The tables of a TOML text as they are written.

    Raises:
        ConfigError: the text is too long, or not TOML.
    """
    if len(text) > MAX_BYTES:
        raise ConfigError(f"the config is larger than {MAX_BYTES} bytes", where=where)
    text = text.removeprefix("\ufeff")
    if "\0" in text[:8]:
        raise ConfigError("the config is in UTF-16", where=where, remedy="save it again, as UTF-8")
    try:
        plain: dict[str, Any] = msgspec.toml.decode(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"the config is not valid TOML: {error}", where=where) from None
    return plain


def read(path: Path) -> Config:
    """Read the config in a file of the user's choice; `RunFolder` reads that of a run.

    Raises:
        ConfigError: it cannot be read, or as `from_toml`.
    """
    return from_plain(read_plain(path), where=str(path))


def read_as_written(path: Path) -> dict[str, Any]:
    """The tables of a TOML file, unchecked, without what a later version completes them with.

    Raises:
        ConfigError: it cannot be read, or is not TOML.
    """
    return tables(_text(path), where=str(path))


def read_plain(path: Path) -> dict[str, Any]:
    """The tables of a TOML file, unchecked and without defaults.

    Raises:
        ConfigError: it cannot be read, or is not TOML.
    """
    return decode(_text(path), where=str(path))


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            # One byte more shows that it is too large.
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"the config cannot be read: {error.strerror}", where=str(path)) from None
    # As Windows' tools write it.
    is_wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return content.decode("utf-16" if is_wide else "utf-8")
    except UnicodeDecodeError:
        raise ConfigError(
            "the config is no text in UTF-8", where=str(path), remedy="save it again, as UTF-8"
        ) from None


def override(config: Config, changes: dict[str, Any]) -> Config:
    """`config` with dotted keys replaced, checked again.

    A new method replaces the settings of the old one by its own; so does a new space, which also
    brings what the method sets in that space alone; a new regulariser brings its weight; a
    recurrent network in place of one of images, or the other way round, brings its settings.

    Raises:
        ConfigError: as `from_plain`.
    """
    plain = to_plain(config)
    if isinstance(config, SearchConfig):
        changes = presets.weighted(_brought(changes, config) | changes)
    else:
        changes = training_on_text.network_with(changes, config)
    for key, value in changes.items():
        section, _, field = key.partition(".")
        plain.setdefault(section, {})[field] = value
    return from_plain(plain, where="command line")


def _brought(changes: dict[str, Any], config: SearchConfig) -> dict[str, Any]:
    """What another method or space brings if one is among changed settings, all by dotted key.

    Settings that the old one brought get their default again, or what the other of the two brings.
    """
    method, space = config.search.method, config.space.space
    old, old_spec = presets.preset(method), spaces.spec_of(space)
    new = presets.preset(str(changes.get("search.method", method)))
    its_space = changes.get("space.space", space)
    spec = spaces.spec_of(its_space) if isinstance(its_space, str) else None
    basis = {setting.key: setting.default for setting in settings("search")}
    found: dict[str, Any] = {}
    if its_space != space and spec is not None:
        before = old_spec.begins_with if old_spec else {}
        found = {key: basis[key] for key in before} | spec.brought_to(changes)
    elif spec is not None and "weights.lr" in changes:
        is_constant = spec.has_constant_rate and config.weights.lr == config.weights.lr_min
        found = {"weights.lr_min": changes["weights.lr"]} if is_constant else {}
    basis |= spec.begins_with if spec else {}
    old_settings, new_settings = old.settings_in(space), new.settings_in(its_space)
    if new is not old:
        return found | {key: basis[key] for key in old_settings} | new_settings
    # What the method sets in every space may have been changed since, and stays.
    found = {key: value for key, value in found.items() if key not in old.settings}
    if its_space == space:
        return found
    here = old.in_space.get(space, {}).keys()
    there = new.in_space.get(str(its_space), {}).keys()
    return found | {key: new_settings.get(key, basis[key]) for key in [*here, *there]}


def _refuse_unknown(plain: dict[str, Any], kind: str, where: str) -> None:
    known = {"kind": set(), **known_fields(kind)}
    keys = [f"{section}.{field}" for section in known for field in known[section]]
    for section, table in plain.items():
        if section not in known:
            raise _unknown(section, list(known), keys, where)
        for field in table if isinstance(table, dict) else ():
            if field not in known[section]:
                raise _unknown(f"{section}.{field}", keys, keys, where)


def _unknown(key: str, candidates: list[str], everywhere: list[str], where: str) -> ConfigError:
    # The right name in the wrong table comes first, as in "search.lr".
    last = key.rpartition(".")[2]
    near = [k for k in everywhere if k.rpartition(".")[2] == last]
    near = near or difflib.get_close_matches(key, candidates, 1, 0.5)
    remedy = (
        f"did you mean {near[0]!r}?" if near else "'darts-tui search --help' lists every setting"
    )
    return ConfigError(f"unknown setting {key!r}", where=where, remedy=remedy)
