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
from darts_engine.run.settings.sections import TrainConfig

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
_OF_CELLS = "a recurrent network is one cell"
_ONE_READING = "a step has one pass, and the next one goes on from its hidden state"
# Why a setting of trainings has no meaning on text, besides those in `text_rules.py`.
MEANINGLESS: dict[str, str] = {
    "network.channels": f"{_OF_CELLS}, whose size is its --width",
    "network.layers": f"{_OF_CELLS}, whose size is its --width",
    "network.stem": f"{_OF_CELLS} behind an embedding",
    "network.auxiliary": f"{_OF_CELLS} with one output",
    "network.auxiliary_weight": f"{_OF_CELLS} with one output",
    "network.drop_path": "drop path drops images; text has --hidden-dropout and others",
    "network.dropout": "a recurrent network has --output-dropout, --hidden-dropout and others",
    "network.init": "a recurrent network is drawn evenly from -0.04 to 0.04",
    "train.label_smoothing": "a perplexity is of the words as they are",
    "train.smoothing": "a perplexity is of the words as they are",
    "train.valid_fraction": "a text has a part for the validation",
    "weights.sam_rho": _ONE_READING,
    "weights.sam_adaptive": _ONE_READING,
    "weights.ema": "weights are averaged by the rule of --nonmono",
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


def refuse_other_genotypes(config: TrainConfig, where: str) -> None:
    """Refuse a genotype that is not of the network.

    Raises:
        ConfigError: a recurrent network takes a recurrent genotype, and no other does.
    """
    network, takes = config.network, config.network.network == networks.RECURRENT
    if not network.genotype or takes == is_recurrent(network.genotype):
        return
    if takes:
        raise ConfigError(
            f"the network {networks.RECURRENT} takes a recurrent genotype",
            where=where,
            remedy="name one, as in --genotype RNN_DARTS_V2, or leave out --network",
        )
    if network.network == networks.GENOTYPE:
        raise ConfigError(
            "the genotype is a recurrent cell, which reads text",
            where=where,
            remedy=f"leave out --network, or use --network {networks.RECURRENT}",
        )


def neutral(config: TrainConfig) -> Tables:
    """Nested settings of a training in which nothing was chosen but its network."""
    plain: Tables = msgspec.to_builtins(TrainConfig())
    if config.network.network == networks.RECURRENT:
        for key, value in BROUGHT.items():
            section, _, field = key.partition(".")
            plain[section][field] = value
    return plain


def _defaults_of(keys: Tables) -> Tables:
    plain = msgspec.to_builtins(TrainConfig())
    return {key: plain[key.partition(".")[0]][key.partition(".")[2]] for key in keys}
