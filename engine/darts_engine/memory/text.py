"""The memory that a run on text needs: of a step, and of the weights alone.

The batch is the number of columns. Shapes: T tokens that a step reads, B columns, V tokens of the
vocabulary, n width, N nodes.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from darts_engine.compute import device as devices
from darts_engine.data.text.lengths import LONGER
from darts_engine.memory.footprint import COPIES, Footprint, available, frozen, gigabytes, measure
from darts_engine.networks.recurrent import RecurrentNetwork
from darts_engine.optim.text_loss import negative_log_likelihood
from darts_engine.run.architecture.text import parse
from darts_engine.run.errors import TooLargeError
from darts_engine.run.settings.config import Config, SearchConfig, TrainConfig
from darts_engine.supernet.recurrent import RecurrentSupernet

UNIT, SIZES = "columns", "--width, --bptt or --vocabulary"
FLOAT_BYTES = 4
# Tokens of the longest window that is tried. What a pass keeps grows evenly with them.
TRIED = 128

# Tokens (T, B), the hidden state (B, n) before them, and the next tokens (T, B).
TextBatch = tuple[tuple[Tensor, Tensor], Tensor]


def of_search(supernet: RecurrentSupernet, config: SearchConfig, rows: int) -> Footprint:
    """The footprint of a search: of its alpha step or its weight step, whichever is larger.

    Args:
        supernet: on its device; unchanged.
        config: of the search.
        rows: tokens of the longest window that the text has room for.
    """
    precision = partial(devices.autocast, next(supernet.parameters()).device, config.engine)
    alphas, weights = list(supernet.alphas.parameters()), list(supernet.weights())

    def forward_for_alphas(batch: TextBatch) -> None:
        with frozen(weights), precision():
            supernet.loss(batch)

    def forward_for_weights(batch: TextBatch) -> None:
        with frozen(alphas), precision():
            supernet.loss(batch)

    order, exact = config.search.order, config.search.hvp == "exact"
    passes = [forward_for_alphas, forward_for_weights] if order == 1 else [supernet.loss]

    def of_window(length: int) -> Footprint:
        def make(columns: int, device: torch.device) -> TextBatch:
            tokens = torch.zeros(length, columns, dtype=torch.int64, device=device)
            return (tokens, supernet.first_hidden(columns)), tokens

        return measure(supernet, passes, make, order=order, exact=exact)

    return _at(min(config.text.bptt, rows), of_window)


def of_training(network: RecurrentNetwork, config: TrainConfig, rows: int) -> Footprint:
    """The footprint of a training, of a step of the longest window.

    Args:
        network: on its device; unchanged.
        config: of the training.
        rows: tokens of the longest window that the text has room for.
    """
    precision = partial(devices.autocast, next(network.parameters()).device, config.engine)
    length = config.text.bptt + (LONGER if config.text.length_jitter else 0)

    def forward(batch: TextBatch) -> None:
        (tokens, hidden), targets = batch
        with precision():
            reading = network.read(tokens, hidden)
        negative_log_likelihood(reading.log_probabilities, targets)

    def of_window(length: int) -> Footprint:
        def make(columns: int, device: torch.device) -> TextBatch:
            tokens = torch.zeros(length, columns, dtype=torch.int64, device=device)
            return (tokens, network.first_hidden(columns)), tokens

        return measure(network, [forward], make)

    found = _at(min(length, rows), of_window)
    averages = sum(w.numel() * w.element_size() for w in network.parameters())
    return found._replace(fixed=found.fixed + (averages if config.text.nonmono else 0))


def _at(length: int, of_window: Callable[[int], Footprint]) -> Footprint:
    """The footprint with windows of a length; a long one is worked out from two short ones."""
    found = of_window(min(length, TRIED))
    if length > TRIED:
        half = of_window(TRIED // 2)
        times = (length - TRIED) / (TRIED - TRIED // 2)
        found = found._replace(
            fixed=found.fixed + round(times * (found.fixed - half.fixed)),
            per_image=found.per_image + round(times * (found.per_image - half.per_image)),
        )
    return found._replace(unit=UNIT, sizes=SIZES)


def check_weights_fit(config: Config, vocabulary: int, device: torch.device) -> None:
    """Raise an error if the weights with their copies do not fit into the device's free memory.

    Args:
        config: of a search or a training on text.
        vocabulary: V.
        device: where the run computes.

    Raises:
        TooLargeError: they do not fit.
    """
    order = config.search.order if isinstance(config, SearchConfig) else 1
    needed = FLOAT_BYTES * COPIES[order] * _count(config, vocabulary)
    room = available(device)
    if needed > room:
        raise TooLargeError(
            f"the weights alone need about {gigabytes(needed)}, and {gigabytes(room)} are free",
            where=f"with gradients, on {device}",
            remedy="lower --width or --vocabulary; --no-memory-check starts it all the same",
        )


def _count(config: Config, vocabulary: int) -> int:
    """V n + V + 4 n^2 + 2 n^2 N."""
    width = config.text.width
    nodes = config.space.nodes if isinstance(config, SearchConfig) else _nodes(config)
    return vocabulary * (width + 1) + (4 + 2 * nodes) * width**2


def _nodes(config: TrainConfig) -> int:
    return len(parse(config.network.genotype).edges("recurrent"))
