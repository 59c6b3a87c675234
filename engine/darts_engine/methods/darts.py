"""DARTS as the config asks for it: which architect moves alpha."""

from functools import partial

import torch

from darts_engine.compute import device as devices
from darts_engine.methods.architects.first_order import FirstOrder
from darts_engine.methods.architects.second_order import SecondOrder
from darts_engine.run.settings.config import SearchConfig
from darts_engine.supernet.relaxed import RelaxedNetwork


def architect(
    supernet: RelaxedNetwork, config: SearchConfig, optimizer: torch.optim.Optimizer
) -> FirstOrder:
    """The architect of `search.order`; `optimizer` is the one that moves the weights."""
    device = next(supernet.parameters()).device
    precision = partial(devices.autocast, device, config.engine)
    search = config.search
    if search.order == 1:
        return FirstOrder(supernet, config.alpha, precision)
    return SecondOrder(
        supernet,
        config.alpha,
        precision,
        optimizer=optimizer,
        product=search.hvp,
        radius=search.hvp_radius,
    )
