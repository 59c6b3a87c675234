"""Trainings on text: the settings that a recurrent network brings, and those it has no use for.

The network `recurrent` brings settings of its own, as a space does in a search: they lie under
those of the recipe, the file and the command line. A recurrent genotype is such a network without
its being said.
"""

from typing import Any

import msgspec

from darts_engine.run.architecture import networks
from darts_engine.run.architecture.genotype import RECURRENT as RECURRENT_FORM
from darts_engine.run.architecture.text import parse
from darts_engine.run.errors import ConfigError, GenotypeError
from darts_engine.run.settings.sections import TrainConfig, TrainTextSection

Tables = dict[str, Any]

# Sized for the bundled text: minutes on two cores. The recipes have the published sizes.
BROUGHT: dict[str, Any] = {
    "network.network": networks.RECURRENT,
    "network.auxiliary": False,
    "network.drop_path": 0.0,
    "data.dataset": "verses",
    "data.batch_size": 16,
    "data.crop_padding": 0,
    "data.cutout": 0,
    "train.epochs": 30,
    "weights.lr": 20.0,
    "weights.lr_min": 0.0,
    "weights.schedule": "constant",
    "weights.momentum": 0.0,
    "weights.weight_decay": 8e-7,
    "weights.grad_clip": 0.25,
}
_OF_IMAGES = "it is of images"
_OF_CELLS = "a recurrent network is one cell"
# Why a setting has no meaning on text. Its value there is the one that the network brings, else
# the default.
MEANINGLESS = {
    "data.image_size": _OF_IMAGES,
    "data.crop_padding": _OF_IMAGES,
    "data.flip": _OF_IMAGES,
    "data.cutout": _OF_IMAGES,
    "data.cutout_prob": _OF_IMAGES,
    "data.color_jitter": _OF_IMAGES,
    "data.stream_above": _OF_IMAGES,
    "data.workers": _OF_IMAGES,
    "engine.sync_bn": "a trained recurrent network has no batch norm",
    "engine.channels_last": "it is of convolutions",
    "engine.compile": "the steps of a recurrent network are too small to gain from it",
    "engine.checkpoint_activations": f"{_OF_CELLS}, and there is nothing to compute again",
    "network.channels": f"{_OF_CELLS}: its size is --width",
    "network.layers": f"{_OF_CELLS}: its size is --width",
    "network.stem": f"{_OF_CELLS} behind an embedding",
    "network.auxiliary": f"{_OF_CELLS} with one output",
    "network.auxiliary_weight": f"{_OF_CELLS} with one output",
    "network.drop_path": "it drops states instead: --hidden-dropout",
    "network.dropout": "its dropouts are --output-dropout, --hidden-dropout, --input-dropout, "
    "--embedding-dropout and --word-dropout",
    "network.init": "its weights are drawn evenly from -0.04 to 0.04",
    "train.label_smoothing": "perplexity is of the words as they are",
    "train.smoothing": "perplexity is of the words as they are",
    "train.valid_fraction": "a text has a part for the validation",
    "weights.sam_rho": "a step has one pass, and the next one goes on from its hidden state",
    "weights.sam_adaptive": "a step has one pass, and the next one goes on from its hidden state",
    "weights.ema": "its weights are averaged by --nonmono",
}


def is_recurrent(genotype: object) -> bool:
    """Whether this is the text of a recurrent genotype."""
    if not isinstance(genotype, str) or not genotype:
        return False
    try:
        return parse(genotype).form == RECURRENT_FORM
    except GenotypeError:
        return False


def with_network(plain: Tables) -> Tables:
    """A training's nested settings with those that a recurrent network brings, unless they are set.

    Args:
        plain: what was asked so far, and nothing that is only a default.
    """
    table = plain.get("network")
    if not isinstance(table, dict):
        return plain
    name = table.get("network")
    if name is None and is_recurrent(table.get("genotype")):
        name = networks.RECURRENT
    if name != networks.RECURRENT:
        return plain
    out = dict(plain)
    for key, value in BROUGHT.items():
        section, _, field = key.partition(".")
        under = out.get(section, {})
        if isinstance(under, dict):
            out[section] = {field: value} | under
    return out


def network_with(changes: Tables, before: TrainConfig) -> Tables:
    """Changed settings, dotted, with those of another network if that is among them."""
    old = before.network.network
    new = changes.get("network.network")
    if new is None and old in networks.OF_GENOTYPES and changes.get("network.genotype"):
        is_so = is_recurrent(changes["network.genotype"])
        new = networks.RECURRENT if is_so else networks.GENOTYPE
    if new is None or new == old or networks.RECURRENT not in (new, old):
        return changes
    brought = BROUGHT if new == networks.RECURRENT else _defaults_of(BROUGHT)
    return brought | {"network.network": new} | changes


def refuse_nonsense(config: TrainConfig, where: str) -> None:
    """Refuse settings without a meaning on text, and on images those of text.

    Raises:
        ConfigError: names the setting, and why it has none.
    """
    network = config.network
    given = network.genotype
    if network.network != networks.RECURRENT:
        if network.network == networks.GENOTYPE and is_recurrent(given):
            raise ConfigError(
                "the genotype is a recurrent cell, which reads text",
                where=where,
                remedy=f"leave out --network, or use --network {networks.RECURRENT}",
            )
        _refuse_text_settings(config, where)
        return
    if given and not is_recurrent(given):
        raise ConfigError(
            f"the network {networks.RECURRENT} takes a recurrent genotype",
            where=where,
            remedy="name one, as in --genotype RNN_DARTS_V2, or leave out --network",
        )
    plain = msgspec.to_builtins(config)
    for key, neutral in _defaults_of(MEANINGLESS).items():
        section, _, field = key.partition(".")
        if plain[section][field] != BROUGHT.get(key, neutral):
            raise ConfigError(
                f"{key} has no meaning on text: {MEANINGLESS[key]}",
                where=where,
                remedy="leave it out, or train a cell of images",
            )


def _refuse_text_settings(config: TrainConfig, where: str) -> None:
    plain, neutral = msgspec.to_builtins(config.text), msgspec.to_builtins(TrainTextSection())
    for field, value in plain.items():
        if value != neutral[field]:
            raise ConfigError(
                f"text.{field} has no meaning on images",
                where=where,
                remedy="leave it out, or train a recurrent cell, as in --genotype RNN_DARTS_V2",
            )


def _defaults_of(keys: Tables) -> Tables:
    plain = msgspec.to_builtins(TrainConfig())
    return {key: plain[key.partition(".")[0]][key.partition(".")[2]] for key in keys}
