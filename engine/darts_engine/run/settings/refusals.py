"""Refuses settings that cannot be combined, before anything is computed."""

import math

import msgspec

from darts_engine.run.architecture import networks
from darts_engine.run.architecture.spaces import SpaceSpec, spec_of
from darts_engine.run.errors import ConfigError
from darts_engine.run.settings import methods, search_on_text, training_on_text
from darts_engine.run.settings.sections import Config, SearchConfig, SearchSection, TrainConfig

HVP = ("finite-difference", "exact")
INITS = ("fan-out", "fan-in")
SCHEDULES = ("cosine", "linear", "step", "multi-step", "exponential", "constant")
SMOOTHINGS = ("uniform", "others")
STEMS = ("cifar", "imagenet")


def refuse_nonsense(config: Config, where: str) -> None:
    """Refuse settings that cannot be combined.

    Raises:
        ConfigError: names the settings, and what to use instead.
    """
    for section, table in msgspec.to_builtins(config).items():
        for field, value in table.items() if isinstance(table, dict) else ():
            if isinstance(value, float) and not math.isfinite(value):
                raise ConfigError(f"{section}.{field} must be a finite number", where=where)
    size = config.space if isinstance(config, SearchConfig) else config.network
    if size.channels % 2:
        raise ConfigError(
            f"channels must be even, not {size.channels}",
            where=where,
            remedy="a stride-2 skip connection halves them into two convolutions",
        )
    if isinstance(config, SearchConfig):
        _refuse_nonsense_order(config.search, where)
        methods.refuse_nonsense(config.method, where)
        search_on_text.refuse_other_kind(config, where)
        _refuse_nonsense_cells(config, where)
        _refuse_nonsense_space(config, where)
        _refuse_nonsense_decay(config, where)
        differentiates_twice = config.search.hvp == "exact" or config.search.hvp_check
        if config.engine.compile and config.search.order == 2 and differentiates_twice:
            raise ConfigError(
                "a compiled network cannot be differentiated twice",
                where=where,
                remedy="use --hvp finite-difference without --hvp-check, or leave --compile out",
            )
    if isinstance(config, TrainConfig):
        training_on_text.refuse_nonsense(config, where)
    if config.weights.lr_min > config.weights.lr:
        raise ConfigError("lr_min is larger than lr", where=where)
    if isinstance(config, TrainConfig):
        _refuse_nonsense_training(config, where)


def _refuse_nonsense_cells(config: SearchConfig, where: str) -> None:
    partial = config.method.partial_channels
    if config.space.channels % (2 * partial):
        raise ConfigError(
            f"{config.space.channels} channels have no even {partial}th part",
            where=where,
            remedy=f"use --channels {2 * partial} or a multiple of it, or fewer --partial-channels",
        )
    staged = config.method.schedule == "staged"
    if staged and config.search.epochs < (count := len(config.method.stage_list())):
        raise ConfigError(
            f"{config.search.epochs} epochs are too few for {count} stages",
            where=where,
            remedy=f"use --epochs {count} or more; fewer stages are set by --stage-layers, "
            "--stage-candidates and --stage-skip-dropout",
        )
    spec = spec_of(config.space.space)
    if staged and spec is not None:
        _refuse_fewer_at_first(config, spec, where)
    if staged and config.engine.compile:
        raise ConfigError(
            "a staged search builds a supernet per stage, and only the first would be compiled",
            where=where,
            remedy="leave out --compile",
        )
    draws = config.method.edge_drop_path or staged or config.space.space == "s4"
    if config.engine.checkpoint_activations and draws:
        raise ConfigError(
            "cells that draw random numbers cannot be computed again for the backward pass",
            where=where,
            remedy="leave out --checkpoint-activations, or --edge-drop-path, the staged schedule "
            "and the space s4",
        )


def _refuse_fewer_at_first(config: SearchConfig, spec: SpaceSpec, where: str) -> None:
    """The first stage has all candidates: nothing is known yet by which to choose among them."""
    count = spec.candidates_per_edge(without_none=config.space.without_none)
    first, *others = (most for _, most, _ in config.method.stage_list())
    if first < count:
        asked = ",".join(map(str, [count, *others]))
        raise ConfigError(
            f"the first stage cannot have {first} candidates: an edge of the space "
            f"{config.space.space} begins with {count}",
            where=where,
            remedy=f"use --stage-candidates {asked}",
        )


def _refuse_nonsense_space(config: SearchConfig, where: str) -> None:
    name, method = config.space.space, config.method
    spec = spec_of(name)
    if spec is None:
        return
    if config.space.nodes != spec.nodes and not spec.has_free_nodes:
        raise ConfigError(
            f"the space {name} has {spec.nodes} nodes, not {config.space.nodes}",
            where=where,
            remedy="leave out --nodes",
        )
    if spec.inputs != 1:
        return
    for is_so, why in (
        (
            method.partial_channels > 1 or method.edge_normalisation,
            "partial channels and edge normalisation are of cells whose nodes keep two edges",
        ),
        (
            method.schedule != "plain",
            f"the {method.schedule} schedule ends with two edges for each node",
        ),
        (
            bool(spec.parents) and (method.auxiliary_skip or method.edge_drop_path > 0),
            "auxiliary skips and drop path are of edges, and this space's nodes compute",
        ),
    ):
        if is_so:
            raise ConfigError(
                f"{why}: it has no meaning in the space {name}",
                where=where,
                remedy="use the space darts, s1 to s4 or nasnet-like, or another method",
            )


def _refuse_nonsense_decay(config: SearchConfig, where: str) -> None:
    decay, most = config.weights.weight_decay, config.method.adapt_most
    if config.method.stop == "eigenvalue-adapt" and not 0 < decay < most:
        raise ConfigError(
            f"a weight decay of {decay:g} cannot be multiplied until it is {most:g}",
            where=where,
            remedy="use a --weight-decay above 0 and below --adapt-most, or --stop eigenvalue",
        )


def _refuse_nonsense_training(config: TrainConfig, where: str) -> None:
    network, weights = config.network, config.weights
    _refuse_unlisted("stem", network.stem, STEMS, where)
    _refuse_unlisted("schedule", weights.schedule, SCHEDULES, where)
    _refuse_unlisted("smoothing", config.train.smoothing, SMOOTHINGS, where)
    _refuse_unlisted("init", network.init, INITS, where)
    networks.parse(network.network, where)
    try:
        weights.milestone_list()
    except ValueError as error:
        raise ConfigError(
            f"the milestones {weights.milestones[:60]!r} cannot be: {error}",
            where=where,
            remedy="give fractions of the epochs in rising order, as in 0.2,0.5,0.7,0.85",
        ) from None
    if weights.nesterov and not weights.momentum:
        raise ConfigError("nesterov needs momentum", where=where, remedy="as in --momentum 0.9")
    if weights.sam_adaptive and not weights.sam_rho:
        raise ConfigError("sam_adaptive needs sam_rho", where=where, remedy="as in --sam-rho 2.0")
    if network.dropout and network.network == networks.GENOTYPE:
        raise ConfigError(
            "a derived network has no dropout", where=where, remedy="its --drop-path is the like"
        )
    if network.init != INITS[0] and network.network == networks.GENOTYPE:
        raise ConfigError(
            f"{network.init} is of wide ResNets: a derived network has torch's initialisation",
            where=where,
            remedy=f"use --init {INITS[0]}, or a --network such as wrn-28-10",
        )


def _refuse_unlisted(what: str, value: str, known: tuple[str, ...], where: str) -> None:
    if value not in known:
        raise ConfigError(
            f"unknown {what} {value[:60]!r}", where=where, remedy=f"use {', '.join(known)}"
        )


def _refuse_nonsense_order(search: SearchSection, where: str) -> None:
    if search.hvp not in HVP:
        raise ConfigError(
            f"unknown hvp {search.hvp!r}", where=where, remedy=f"use {' or '.join(HVP)}"
        )
    if search.hvp_check and search.order == 1:
        raise ConfigError(
            "hvp_check needs order 2",
            where=where,
            remedy="first order takes no product with the Hessian; add --order 2",
        )
