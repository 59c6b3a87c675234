"""Search methods as choices on independent axes; `presets.py` has the published ones.

This file does not import torch: configs are resolved without it. `docs/methods.md` has a paragraph
for each method.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from darts_engine.run import extensions
from darts_engine.run.errors import ConfigError
from darts_engine.run.extensions import Extension

CHOICES: dict[str, tuple[str, ...]] = {
    "architect": ("gradient", "random"),
    "relaxation": ("softmax", "gumbel", "sigmoid", "dirichlet"),
    "gumbel_gradient": ("drawn", "all"),
    "resting_weights": ("rest", "drift"),
    "regulariser": ("none", "zero-one", "beta-decay", "anchor-kl"),
    "perturbation": ("none", "random", "adversarial", "mean-shift"),
    "zero_one_form": ("l2", "l1"),
    "stop": ("none", "eigenvalue", "eigenvalue-adapt", "skip-count", "ranking"),
    "derivation": ("top-2", "threshold", "joint", "skip-limited"),
    "edge_ranking": ("softmax", "mean"),
    "schedule": ("plain", "staged", "greedy"),
    "stage_lr": ("restart", "continue"),
}
# The axes that packages may add values to, and their groups of entry points.
OPEN = {
    "relaxation": extensions.RELAXATIONS,
    "regulariser": extensions.REGULARISERS,
    "perturbation": extensions.PERTURBATIONS,
}


def choices(axis: str) -> list[str]:
    """The values of an axis: the built-in ones, then those that installed packages add."""
    known = CHOICES[axis]
    return [*known, *(extensions.names(OPEN[axis], known) if axis in OPEN else ())]


def added(axis: str, value: str) -> Extension | None:
    """The extension that a value of an open axis stands for; None for a built-in value.

    Raises:
        ExtensionError: a package adds a value of a built-in one's name.
    """
    return extensions.find(OPEN[axis], value, CHOICES[axis])


def refuse_taken_names(method: "MethodSection") -> None:
    """Refuse a value that is built in and that a package adds too: nobody knows which is meant.

    Raises:
        ExtensionError: naming the value and the package.
    """
    for axis in OPEN:
        added(axis, getattr(method, axis))


class MethodSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The axes of a search method; `--method` sets all of them, and each has its own option."""

    architect: Annotated[
        str,
        Meta(description="Rule that changes alpha: gradient, or random (drawn once)."),
    ] = "gradient"
    relaxation: Annotated[
        str, Meta(description="Alpha to mixing weights: softmax, gumbel, sigmoid or dirichlet.")
    ] = "softmax"
    tau_max: Annotated[float, Meta(gt=0, description="Gumbel: temperature at the start.")] = 10.0
    tau_min: Annotated[float, Meta(gt=0, description="Gumbel: temperature at the end.")] = 0.1
    gumbel_gradient: Annotated[
        str,
        Meta(description="Gumbel: weights that carry alpha's gradient: the drawn one's, or all."),
    ] = "drawn"
    resting_weights: Annotated[
        str,
        Meta(
            description="Weights without a gradient in a step: rest, or drift by momentum and "
            "decay as before torch 2.0."
        ),
    ] = "rest"
    regulariser: Annotated[
        str, Meta(description="Term on alpha's loss: none, zero-one, beta-decay or anchor-kl.")
    ] = "none"
    regulariser_weight: Annotated[
        float,
        Meta(
            ge=0,
            description="Its factor, zero-one 10, beta-decay (grows from 0) 50, anchor-kl 0.001.",
        ),
    ] = 10.0
    zero_one_form: Annotated[str, Meta(description="Zero-one loss: l2 or l1.")] = "l2"
    perturbation: Annotated[
        str,
        Meta(
            description="Change of the mixing weights in the weight step: none, random, "
            "adversarial or mean-shift."
        ),
    ] = "none"
    radius: Annotated[
        float, Meta(ge=0, le=1, description="Perturbation: epsilon that is approached at the end.")
    ] = 0.3
    radius_start: Annotated[
        float,
        Meta(
            ge=0, le=1, description="Perturbation: epsilon at the start; mean-shift: radius / 10."
        ),
    ] = 0.03
    perturbation_steps: Annotated[
        int, Meta(ge=1, le=100, description="Steps of ascent (adversarial) or shifts (T).")
    ] = 7
    samples: Annotated[
        int, Meta(ge=1, le=100, description="Mean-shift: samples per shift (N).")
    ] = 3
    bandwidth: Annotated[
        float, Meta(gt=0, description="Mean-shift: bandwidth of the Gaussian kernel (h).")
    ] = 1.0
    ms_official: Annotated[
        bool, Meta(description="Mean-shift: follow the published code, not the paper.")
    ] = False
    partial_channels: Annotated[
        int,
        Meta(ge=1, le=16, description="Operations see one K-th of the channels; 1 = all."),
    ] = 1
    edge_normalisation: Annotated[
        bool, Meta(description="Alpha also weighs whole edges, by a softmax into each node.")
    ] = False
    auxiliary_skip: Annotated[
        bool, Meta(description="A skip beside every edge whose factor falls from 1 to 0.")
    ] = False
    edge_drop_path: Annotated[
        float, Meta(ge=0, lt=1, description="Drop-path probability of edges at the search's end.")
    ] = 0.0
    cutout_ramp: Annotated[
        bool, Meta(description="The probability of --cutout grows from 0 over the search.")
    ] = False
    stop: Annotated[
        str,
        Meta(
            description="When to end early: none, eigenvalue, skip-count or ranking; "
            "eigenvalue-adapt rolls back with more weight decay instead."
        ),
    ] = "none"
    adapt_factor: Annotated[
        float,
        Meta(ge=1.1, le=1e6, description="Eigenvalue-adapt: factor of the weight decay."),
    ] = 10.0
    adapt_most: Annotated[
        float,
        Meta(gt=0, description="Eigenvalue-adapt: largest weight decay; there the rule stops."),
    ] = 0.03
    ranking_counts_none: Annotated[
        bool, Meta(description="Ranking: none may be an edge's strongest operation.")
    ] = False
    hessian_every: Annotated[
        int,
        Meta(
            ge=0, description="Epochs between eigenvalues of the loss's Hessian in alpha; 0 = off."
        ),
    ] = 0
    hessian_decay: Annotated[
        bool, Meta(description="Eigenvalues with alpha's weight decay added, as in R-DARTS's code.")
    ] = False
    schedule: Annotated[
        str,
        Meta(
            description="plain; staged: fewer candidates in deeper supernets; greedy: edges are "
            "decided one by one."
        ),
    ] = "plain"
    stage_layers: Annotated[
        str, Meta(description="Staged: cells beyond --layers in each stage.")
    ] = "0,6,12"
    stage_candidates: Annotated[
        str, Meta(description="Staged: most candidates per edge in each stage; the first has all.")
    ] = "8,5,3"
    stage_skip_dropout: Annotated[
        str, Meta(description="Staged: dropout of skip connections at each stage's beginning.")
    ] = "0.0,0.4,0.7"
    stage_rest: Annotated[
        float, Meta(ge=0, lt=1, description="Staged: share of each stage in which alpha rests.")
    ] = 0.4
    stage_lr: Annotated[
        str,
        Meta(description="Staged: the weights' cosine restarts in each stage, or continues."),
    ] = "restart"
    alpha_clip: Annotated[
        float, Meta(ge=0, description="Largest L2 norm of alpha's whole gradient; 0 = off.")
    ] = 0.0
    decide_after: Annotated[
        float, Meta(ge=0, lt=1, description="Greedy: share of the epochs before the first edge.")
    ] = 0.18
    sgas_history: Annotated[
        bool, Meta(description="Greedy: an edge's stability over epochs counts (criterion 2).")
    ] = False
    derivation: Annotated[
        str, Meta(description="Alpha to genotype: top-2, threshold, joint or skip-limited.")
    ] = "top-2"
    edge_ranking: Annotated[
        str,
        Meta(description="Dirichlet: derive from softmax(alpha), or the distribution's mean."),
    ] = "softmax"
    threshold: Annotated[
        float, Meta(ge=0, le=1, description="Threshold: the least gate of a kept operation.")
    ] = 0.85
    skip_limit: Annotated[
        int, Meta(ge=0, description="Skip-limited: most skip connections of the normal cell.")
    ] = 2

    def stage_list(self) -> list[tuple[int, int, float]]:
        """The stages: extra cells, most candidates per edge, skip dropout.

        Raises:
            ValueError: the lists differ in length, or a value is not allowed.
        """
        layers = [int(part) for part in self.stage_layers.split(",")]
        candidates = [int(part) for part in self.stage_candidates.split(",")]
        dropout = [float(part) for part in self.stage_skip_dropout.split(",")]
        if not len(layers) == len(candidates) == len(dropout):
            raise ValueError("they are not of one length")
        if not all(0 <= more <= 100 for more in layers):
            raise ValueError("a stage has 0 to 100 cells more")
        # With `none` among them, one candidate would leave nothing to derive.
        if min(candidates) < 2 or candidates != sorted(candidates, reverse=True):
            raise ValueError("candidates only get fewer, and two are the fewest")
        if not all(0 <= rate < 1 for rate in dropout):
            raise ValueError("dropout is at least 0 and below 1")
        return list(zip(layers, candidates, dropout, strict=True))


def refuse_nonsense(method: MethodSection, where: str) -> None:
    """Refuse unknown choices and meaningless combinations.

    Raises:
        ConfigError: with the reason. Change one of the settings that it names.
    """
    for field, known in CHOICES.items():
        value = getattr(method, field)
        if value in known or (field in OPEN and added(field, value)):
            continue
        remedy = f"use {', '.join(choices(field))}"
        if field in OPEN:
            remedy += f", or install the package that adds {value!r}"
        raise ConfigError(
            f"unknown {field.replace('_', ' ')} {value!r}", where=where, remedy=remedy
        )
    if method.schedule == "staged":
        _refuse_odd_stages(method, where)
    for is_so, why in (
        (
            method.relaxation == "gumbel" and method.perturbation != "none",
            "a perturbation moves mixing weights, but gumbel draws one operation per edge",
        ),
        (
            method.relaxation == "sigmoid" and method.perturbation != "none",
            "a perturbation keeps mixing weights on the simplex, but sigmoid's gates are not on it",
        ),
        (
            method.architect == "random" and method.regulariser != "none",
            "a regulariser is a term on alpha's loss, but nothing moves a random alpha",
        ),
        (
            method.stop in ("eigenvalue", "eigenvalue-adapt") and not method.hessian_every,
            "the eigenvalue rule needs eigenvalues: add --hessian-every 1",
        ),
        (
            method.stop == "eigenvalue-adapt" and method.schedule == "staged",
            "every stage has a supernet and alphas of its own, whose eigenvalues do not compare",
        ),
        (
            method.stop == "eigenvalue-adapt" and method.architect == "random",
            "more weight decay is to lead alpha elsewhere, but nothing moves a random alpha",
        ),
        (
            method.schedule == "greedy" and method.edge_normalisation,
            "a decided edge counts fully, but edge normalisation weighs whole edges",
        ),
        (
            method.schedule == "greedy" and method.derivation != "top-2",
            "the greedy schedule has decided both edges of each node: only top-2 keeps them",
        ),
        (
            method.regulariser == "zero-one" and method.relaxation != "sigmoid",
            "the zero-one loss is on sigmoid gates",
        ),
        (
            method.regulariser == "anchor-kl" and method.relaxation != "dirichlet",
            "anchor-kl is a distance between Dirichlet distributions",
        ),
        (
            method.regulariser == "beta-decay" and method.relaxation == "sigmoid",
            "beta decay bounds the logits of a softmax; sigmoid gates have none in common",
        ),
    ):
        if is_so:
            raise ConfigError(
                why, where=where, remedy="'darts-tui methods' explains what goes together"
            )


def _refuse_odd_stages(method: MethodSection, where: str) -> None:
    try:
        method.stage_list()
    except ValueError as error:
        raise ConfigError(
            f"the stages cannot be: {error}",
            where=where,
            remedy="as in --stage-layers 0,6,12 --stage-candidates 8,5,3 "
            "--stage-skip-dropout 0.0,0.4,0.7",
        ) from None
