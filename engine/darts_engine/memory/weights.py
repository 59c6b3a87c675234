"""Refuse a run whose weights alone do not fit into memory, before any of them is made.

A network of C channels has at most (C / c)^2 times the weights of the same network with c channels.
So the narrowest network is built first, which takes hardly any time. Only where that bound does not
fit is the network itself built, on torch's meta device.
"""

from collections.abc import Sequence

import torch
from msgspec import structs
from torch import nn

from darts_engine.memory.footprint import COPIES, available, gigabytes
from darts_engine.networks import build as networks
from darts_engine.run.architecture.networks import parse
from darts_engine.run.errors import TooLargeError
from darts_engine.run.settings import catalog
from darts_engine.run.settings.config import Config, SearchConfig


def check_weights_fit(
    config: Config, image_shape: Sequence[int], classes: int, device: torch.device
) -> None:
    """Raise an error if the weights with their copies do not fit into the device's free memory.

    Args:
        config: of a search or a training.
        image_shape: (C, H, W).
        classes: outputs.
        device: where the run computes.

    Raises:
        TooLargeError: they do not fit; lower the channels or layers.
        RunError: the config names an unknown network.
    """
    room = available(device)
    narrow, times = _narrowest(config)
    if _bytes(narrow, image_shape[0], classes) * times**2 <= room:
        return
    try:
        with torch.device("meta"):
            needed = _bytes(config, image_shape[0], classes)
    except RuntimeError as error:
        if "overflow" not in str(error):
            raise
        needed = 2**63
    if needed > room:
        raise TooLargeError(
            f"the weights alone need about {gigabytes(needed)}, and {gigabytes(room)} are free",
            where=f"with gradients and momentum, on {device}",
            remedy="lower --channels or --layers; --no-memory-check starts it all the same",
        )


def _narrowest(config: Config) -> tuple[Config, int]:
    """The config with the fewest channels, and how many times as many the given one has."""
    if isinstance(config, SearchConfig):
        least = 2 * config.method.partial_channels
        space = structs.replace(config.space, channels=least)
        return structs.replace(config, space=space), config.space.channels // least
    shape = parse(config.network.network)
    if shape is None:
        network = structs.replace(config.network, channels=2)
        return structs.replace(config, network=network), config.network.channels // 2
    network = structs.replace(config.network, network=f"wrn-{shape.depth}-1")
    return structs.replace(config, network=network), shape.width


def _bytes(config: Config, in_channels: int, classes: int) -> int:
    """Bytes of the weights in all their copies at a step's peak."""
    network: nn.Module
    if isinstance(config, SearchConfig):
        space = catalog.resolve("space", catalog.SPACES, config.space.space)(config)
        network = space.supernet(in_channels, classes)
    else:
        network = networks.build(config.network, in_channels=in_channels, classes=classes, seed=0)
    order = config.search.order if isinstance(config, SearchConfig) else 1
    return COPIES[order] * sum(w.numel() * w.element_size() for w in network.parameters())
