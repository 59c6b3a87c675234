"""Searches on text: which settings are of images, which of text, and what has no meaning there.

A config has all settings. Those of the other kind keep their defaults, and one that was changed is
refused with the reason: nothing that somebody asked for is ignored. `training_on_text.py` has the
same for trainings.
"""

from collections.abc import Mapping

import msgspec

from darts_engine.run.architecture import networks, spaces
from darts_engine.run.errors import ConfigError
from darts_engine.run.settings import catalog, presets
from darts_engine.run.settings.sections import Config, SearchConfig
from darts_engine.run.settings.text_sections import SearchTextSection

TOKENS = ("words", "characters")
HVP_SCALES = ("limited", "official")
STATISTICS = ("batch", "running")

_NO_IMAGES = "a text has no images"
_NO_CONVOLUTIONS = "a recurrent cell has no convolutions"
# Why a setting has no meaning where a network reads text, by dotted key.
OF_IMAGES: dict[str, str] = {
    "engine.sync_bn": "a text is read by one process",
    "engine.channels_last": _NO_CONVOLUTIONS,
    "engine.compile": "the loop over the tokens of a text is not compiled",
    "engine.checkpoint_activations": "a recurrent cell is not computed again backwards",
    "data.workers": _NO_IMAGES,
    "data.stream_above": _NO_IMAGES,
    "data.image_size": _NO_IMAGES,
    "data.crop_padding": _NO_IMAGES,
    "data.flip": _NO_IMAGES,
    "data.cutout": _NO_IMAGES,
    "data.color_jitter": _NO_IMAGES,
    "data.cutout_prob": _NO_IMAGES,
    "space.channels": "the size of a recurrent network is its --width",
    "space.layers": "a recurrent network is one cell deep",
    "space.bn_momentum": "it is of the spaces 1shot1",
    "space.last_bn_momentum": "it is of the spaces 1shot1",
    "search.skip_alert": "a recurrent cell has no skip connections: identity passes a gate",
    "search.tables": "no table has recurrent cells",
    "search.surrogate": "no table has recurrent cells",
    "method.partial_channels": "every node of a recurrent cell needs the whole hidden state",
    "method.edge_normalisation": "the nodes of a recurrent cell keep one edge, and its batch norm "
    "takes out what weighs a node",
    "method.edge_drop_path": "drop path drops images; text has --hidden-dropout and others",
    "method.cutout_ramp": _NO_IMAGES,
    "method.skip_limit": "a recurrent cell has no skip connections",
}
# Values of an axis without a meaning in a recurrent cell.
_AXES: dict[tuple[str, str], str] = {
    ("schedule", "staged"): "its stages add cells to the supernet, and a recurrent network has one",
    ("schedule", "greedy"): "it decides two edges for each node, and a recurrent cell keeps one",
    ("stop", "skip-count"): "a recurrent cell has no skip connections: identity passes a gate",
    ("derivation", "threshold"): "every node of a recurrent cell keeps exactly one edge",
    ("derivation", "skip-limited"): "a recurrent cell has no skip connections",
    ("gumbel_gradient", "all"): "it is the rule of NAS-Bench-201's convolutional cell",
}


def reads_text(config: Config) -> bool:
    """Whether the run's network reads text."""
    if isinstance(config, SearchConfig):
        return spaces.reads_text(config.space.space)
    return config.network.network == networks.RECURRENT


def refuse_other_kind(config: SearchConfig, where: str) -> None:
    """Refuse settings that have no meaning for what the space's network reads.

    Raises:
        ConfigError: with the reason. Leave the setting out.
    """
    on_text = reads_text(config)
    _refuse_other_data(config, on_text, where)
    if not on_text:
        _refuse_text(config.text, where)
        return
    _refuse_changed(config, OF_IMAGES, where)
    _refuse_odd_text(config, where)


def refuse_processes(config: Config, count: int) -> None:
    """Refuse to share a run on text between processes.

    Raises:
        ConfigError: there is more than one. Leave out --nproc.
    """
    if count > 1 and reads_text(config):
        raise ConfigError(
            "a text is read by one process: its columns are one batch of consecutive words",
            where=f"--nproc {count}",
            remedy="leave out --nproc",
        )


def _refuse_other_data(config: SearchConfig, on_text: bool, where: str) -> None:
    dataset, space = config.data.dataset, config.space.space
    if on_text == catalog.is_text(dataset):
        return
    if on_text:
        raise ConfigError(
            f"the space {space} is of text, and {dataset[:60]!r} is none",
            where=where,
            remedy=f"use --dataset {catalog.spelt(catalog.TEXTS)}, or another --space",
        )
    raise ConfigError(
        f"{dataset[:60]!r} is a text, and the space {space} is of images",
        where=where,
        remedy="use --space recurrent, or a --dataset of images",
    )


def _refuse_text(text: SearchTextSection, where: str) -> None:
    default = SearchTextSection()
    for field in text.__struct_fields__:
        if getattr(text, field) != getattr(default, field):
            raise ConfigError(
                f"{option(field)} is of text, and this run is on images",
                where=where,
                remedy=f"leave out {option(field)}, or use --space recurrent",
            )


def _refuse_changed(config: SearchConfig, reasons: Mapping[str, str], where: str) -> None:
    now, default = msgspec.to_builtins(config), msgspec.to_builtins(SearchConfig())
    method = config.search.method
    of_method = presets.preset(method).settings_in(config.space.space)
    for key, why in reasons.items():
        section, _, field = key.partition(".")
        if now[section][field] != default[section][field]:
            remedy = f"leave out {option(field)}"
            if key in of_method:
                remedy = f"use another --method than {method}, which sets it"
            raise ConfigError(
                f"{option(field)} has no meaning on text: {why}", where=where, remedy=remedy
            )


def _refuse_odd_text(config: SearchConfig, where: str) -> None:
    text, default = config.text, SearchTextSection()
    for field, known in (
        ("tokens", TOKENS),
        ("hvp_scale", HVP_SCALES),
        ("statistics", STATISTICS),
    ):
        value = getattr(text, field)
        if value not in known:
            raise ConfigError(
                f"unknown {field.replace('_', ' ')} {value[:60]!r}",
                where=where,
                remedy=f"use {' or '.join(known)}",
            )
    for (axis, value), why in _AXES.items():
        if getattr(config.method, axis) == value:
            raise ConfigError(
                f"{option(axis)} {value}: {why}",
                where=where,
                remedy="use another method, or a space of images",
            )
    if text.statistics == "batch" and text.eval_batch < 2:
        raise ConfigError(
            "one column has no statistics of a batch",
            where=where,
            remedy="use --eval-batch 2 or more, or --statistics running",
        )
    if config.search.order == 1:
        for field in ("redraw_masks", "hvp_scale"):
            if getattr(text, field) != getattr(default, field):
                raise ConfigError(
                    f"{option(field)} is of order 2",
                    where=where,
                    remedy=f"add --order 2, or leave out {option(field)}",
                )


def option(field: str) -> str:
    """The command-line option of a field outside of the table `alpha`."""
    return f"--{field.replace('_', '-')}"
