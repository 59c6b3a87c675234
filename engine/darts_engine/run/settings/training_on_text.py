"""Trainings on text: the settings that a recurrent network brings, and those it has no use for.

The network `recurrent` brings settings of its own, as a space does in a search: they lie under
those of the recipe, the file and the command line. A recurrent genotype is such a network without
its being said.
"""

from typing import Any

import msgspec

from darts_engine.run.architecture import networks
from darts_engine.run.architecture.genotype import RECURRENT as RECURRENT_FORM
from darts_engine.run.architecture.text import parse, published
from darts_engine.run.errors import ConfigError, GenotypeError
from darts_engine.run.settings import catalog
from darts_engine.run.settings.search_on_text import OF_IMAGES, TOKENS, option
from darts_engine.run.settings.sections import NetworkSection, TrainConfig
from darts_engine.run.settings.text_sections import TrainTextSection

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
    "train.epochs": 24,
    "text.width": 128,
    "text.output_dropout": 0.4,
    "text.input_dropout": 0.4,
    "text.embedding_dropout": 0.2,
    "text.nonmono": 2,
    "weights.lr": 20.0,
    "weights.lr_min": 0.0,
    "weights.schedule": "constant",
    "weights.momentum": 0.0,
    "weights.weight_decay": 8e-7,
    "weights.grad_clip": 0.25,
}
_OF_CELLS = "a recurrent network is one cell"
_ONE_READING = "a step has one pass, and the next one goes on from its hidden state"
# Why a setting of trainings has no meaning on text, besides those of images.
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


def form_of(genotype: object) -> str:
    """The form of a genotype, given as its text or published name; empty where that is not known.

    It is not known of a file or a run, before their name is replaced by the text of a genotype.
    """
    if not isinstance(genotype, str) or not genotype:
        return ""
    try:
        return parse(genotype).form
    except GenotypeError:
        found = published().get(genotype.strip())
        return found.genotype.form if found else ""


def is_recurrent(genotype: object) -> bool:
    """Whether this is a recurrent genotype: its text, or its published name."""
    return form_of(genotype) == RECURRENT_FORM


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
        form = form_of(changes["network.genotype"])
        other = networks.RECURRENT if form == RECURRENT_FORM else networks.GENOTYPE
        new = other if form else old
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
    on_text = network.network == networks.RECURRENT
    _refuse_other_genotypes(network, where)
    if on_text != catalog.is_text(config.data.dataset):
        what, known = ("text", catalog.TEXTS) if on_text else ("images", catalog.DATASETS)
        raise ConfigError(
            f"the network {network.network} reads {what}, and {config.data.dataset[:60]!r} is none",
            where=where,
            remedy=f"use another --dataset: {catalog.spelt(known)}",
        )
    if on_text:
        _refuse_of_images(config, where)
    else:
        _refuse_of_text(config.text, where)


def _refuse_other_genotypes(network: NetworkSection, where: str) -> None:
    """A recurrent network takes a recurrent genotype, and no other network does."""
    takes, form = network.network == networks.RECURRENT, form_of(network.genotype)
    if not form or takes == (form == RECURRENT_FORM):
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


def _refuse_of_images(config: TrainConfig, where: str) -> None:
    now, unchosen = msgspec.to_builtins(config), msgspec.to_builtins(TrainConfig())
    for key, why in (OF_IMAGES | MEANINGLESS).items():
        section, _, field = key.partition(".")
        if section not in now or field not in now[section]:
            continue
        if now[section][field] != BROUGHT.get(key, unchosen[section][field]):
            raise ConfigError(
                f"{option(field)} has no meaning on text: {why}",
                where=where,
                remedy=f"leave out {option(field)}",
            )
    if config.text.tokens not in TOKENS:
        raise ConfigError(
            f"unknown tokens {config.text.tokens[:60]!r}",
            where=where,
            remedy=f"use {' or '.join(TOKENS)}",
        )


def _refuse_of_text(text: TrainTextSection, where: str) -> None:
    unchosen = TrainTextSection()
    for field in text.__struct_fields__:
        if getattr(text, field) != getattr(unchosen, field):
            raise ConfigError(
                f"{option(field)} is of text, and this run is on images",
                where=where,
                remedy=f"leave out {option(field)}, or train a recurrent --genotype",
            )


def _defaults_of(keys: Tables) -> Tables:
    plain = msgspec.to_builtins(TrainConfig())
    return {key: plain[key.partition(".")[0]][key.partition(".")[2]] for key in keys}
