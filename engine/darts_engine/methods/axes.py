"""Each axis of a config to the object that implements its choice.

None stands for the choice "none" of an axis.
"""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from darts_engine.compute import device as devices
from darts_engine.methods.architects.first_order import FirstOrder
from darts_engine.methods.architects.second_order import SecondOrder
from darts_engine.methods.perturbations.mean_shift import MeanShift
from darts_engine.methods.perturbations.random_and_adversarial import (
    Adversarial,
    Perturbation,
    Random,
)
from darts_engine.methods.regularisers.anchor_kl import anchor_kl
from darts_engine.methods.regularisers.beta_decay import beta_decay
from darts_engine.methods.regularisers.zero_one import zero_one
from darts_engine.methods.relaxations.dirichlet import Dirichlet
from darts_engine.methods.relaxations.gumbel import Gumbel
from darts_engine.methods.relaxations.sigmoid import Sigmoid
from darts_engine.methods.relaxations.softmax import Relaxation, Softmax
from darts_engine.methods.schedules.greedy import Greedy
from darts_engine.methods.stopping.adapt import Adaptation
from darts_engine.methods.stopping.rules import EigenvalueRule, RankingRule, SkipRule, StopRule
from darts_engine.run.architecture import spaces
from darts_engine.run.settings.config import SearchConfig
from darts_engine.run.settings.methods import added
from darts_engine.supernet.mixing import Matrices
from darts_engine.supernet.relaxed import RelaxedNetwork
from darts_engine.supernet.supernet import CELLS, Supernet

Regulariser = Callable[[Matrices], Tensor]


def architect(
    supernet: RelaxedNetwork, config: SearchConfig, optimizer: torch.optim.Optimizer
) -> FirstOrder:
    """The architect of `search.order`; `optimizer` is SGD on the weights."""
    device = next(supernet.parameters()).device
    precision = partial(devices.autocast, device, config.engine)
    search = config.search
    if search.order == 1:
        return FirstOrder(supernet, config.alpha, precision)
    reads_text = spaces.reads_text(config.space.space)
    return SecondOrder(
        supernet,
        config.alpha,
        precision,
        optimizer=optimizer,
        product=search.hvp,
        radius=search.hvp_radius,
        clip=(config.weights.grad_clip if reads_text else 0.0) or math.inf,
        scales_up=config.text.hvp_scale == "official",
    )


def relaxation(config: SearchConfig) -> Relaxation:
    """The relaxation of `method.relaxation`: how alpha becomes mixing weights."""
    method = config.method
    if extension := added("relaxation", method.relaxation):
        chosen: Relaxation = extension.call(extension.load(), config)
        return chosen
    spec = spaces.spec_of(config.space.space)
    hard = spec.cells[:1] if spec is not None and spec.parents else None
    makers: dict[str, Callable[[], Relaxation]] = {
        "softmax": Softmax,
        "sigmoid": Sigmoid,
        "dirichlet": partial(Dirichlet, ranks_by_mean=method.edge_ranking == "mean"),
        "gumbel": partial(
            Gumbel,
            method.tau_max,
            method.tau_min,
            hard,
            drawn_only=method.gumbel_gradient == "drawn",
        ),
    }
    return makers[method.relaxation]()


def perturbation(config: SearchConfig) -> Perturbation | None:
    """The perturbation of the weight step's mixing, `method.perturbation`."""
    method = config.method
    if extension := added("perturbation", method.perturbation):
        chosen: Perturbation = extension.call(extension.load(), config)
        return chosen
    start, end = method.radius_start, method.radius
    if method.perturbation == "random":
        return Random(start, end)
    if method.perturbation == "adversarial":
        return Adversarial(start, end, method.perturbation_steps)
    if method.perturbation == "mean-shift":
        return MeanShift(
            end,
            method.bandwidth,
            method.samples,
            method.perturbation_steps,
            official=method.ms_official,
        )
    return None


def regulariser(config: SearchConfig) -> Regulariser | None:
    """The term on alpha's loss, `method.regulariser`: from (E, O) alphas to a scalar."""
    if extension := added("regulariser", config.method.regulariser):
        chosen: Regulariser = extension.call(extension.load(), config)
        return chosen
    if config.method.regulariser == "zero-one":
        return partial(zero_one, form=config.method.zero_one_form)
    if config.method.regulariser == "beta-decay":
        return beta_decay
    if config.method.regulariser == "anchor-kl":
        return anchor_kl
    return None


def regulariser_weight(config: SearchConfig, epoch: int) -> float:
    """The factor of the regulariser in an epoch (from 1).

    Beta decay's grows from 0: lambda e / E with e from 0. The others' is constant.
    """
    weight = config.method.regulariser_weight
    if config.method.regulariser == "beta-decay":
        return weight * (epoch - 1) / config.search.epochs
    return weight


def greedy(config: SearchConfig, supernet: RelaxedNetwork) -> Greedy | None:
    """The greedy schedule, `method.schedule`: it decides edge after edge."""
    method = config.method
    if method.schedule != "greedy":
        return None
    assert isinstance(supernet, Supernet)
    names = {cell: supernet.design.candidates(cell) for cell in CELLS}
    return Greedy(
        names, config.search.epochs, rest=method.decide_after, uses_history=method.sgas_history
    )


def stop(config: SearchConfig) -> StopRule | None:
    """The rule of `method.stop` that ends a search before its last epoch."""
    method = config.method
    rules: dict[str, Callable[[], StopRule]] = {
        "eigenvalue": partial(EigenvalueRule, every=method.hessian_every),
        "skip-count": SkipRule,
        "ranking": RankingRule,
    }
    return rules[method.stop]() if method.stop in rules else None


def adaptation(config: SearchConfig) -> Adaptation | None:
    """The adaptation of the weight decay, `method.stop` = eigenvalue-adapt."""
    method = config.method
    if method.stop != "eigenvalue-adapt":
        return None
    rule = EigenvalueRule(every=method.hessian_every)
    return Adaptation(rule, config.weights.weight_decay, method.adapt_factor, method.adapt_most)
