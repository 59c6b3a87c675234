"""The discretisation gap: the accuracy that a supernet loses when it is cut to its genotype.

Zela et al., 2020, arXiv 1909.09656, section 4: the kept operations of the kept edges get weight 1,
all others 0, and the network keeps its weights. Batch norm's running statistics are those of the
mixture, so the cut network is measured a second time with statistics of its own: what this
recovers was lost to the scale of the activations, not to the architecture.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from darts_engine.run import events
from darts_engine.run.architecture.genotype import Genotype
from darts_engine.runner.position import Position
from darts_engine.runner.scores import Figures
from darts_engine.supernet.mixing import Mixing
from darts_engine.supernet.relaxed import RelaxedNetwork
from darts_engine.supernet.stochastic import StochasticOps

# Batches of training images from which the running statistics are renewed.
RENEWING = 20


@contextmanager
def without_auxiliary_skips(stochastic: StochasticOps) -> Iterator[None]:
    """Inside, there are no auxiliary skips: a derived network has none."""
    was, stochastic.auxiliary = stochastic.auxiliary, 0.0
    try:
        yield
    finally:
        stochastic.auxiliary = was


@contextmanager
def renewed_statistics(network: nn.Module, one_pass: Callable[[int], None]) -> Iterator[None]:
    """Inside, running statistics are the mean over `RENEWING` passes in training mode.

    Args:
        network: is afterwards as it was before.
        one_pass: runs the network on the batch of a number, from 0.
    """
    norms = [m for m in network.modules() if isinstance(m, _BatchNorm)]
    norms = [norm for norm in norms if norm.running_mean is not None]
    before = [{name: b.clone() for name, b in norm.named_buffers()} for norm in norms]
    momenta, was = [norm.momentum for norm in norms], network.training
    try:
        network.train()
        with torch.no_grad():
            for count in range(RENEWING):
                for norm in norms:
                    norm.momentum = 1 / (count + 1)
                    if isinstance(norm, nn.BatchNorm1d):
                        # It comes up at every node and token of a pass: without a momentum torch
                        # takes the mean over all of them.
                        norm.momentum = None
                        if not count:
                            norm.reset_running_stats()
                one_pass(count)
        network.eval()
        yield
    finally:
        for norm, buffers, momentum in zip(norms, before, momenta, strict=True):
            norm.momentum = momentum
            for name, buffer in norm.named_buffers():
                buffer.copy_(buffers[name])
        network.train(was)


class GapMeter:
    """Measures the gap of a supernet, and leaves it as it was.

    Args:
        supernet: what is cut.
        cut: returns the mixing that computes a genotype alone.
        logits: from images (B, C, H, W) and a mixing to logits (B, classes); or what a network on
            text has in their place.
        figures: validates a function from images to logits.
        training_images: a batch (B, C, H, W) by epoch and number, from 0.
        agree: makes running statistics the same in all processes.
    """

    def __init__(
        self,
        supernet: RelaxedNetwork,
        cut: Callable[[Genotype], Mixing],
        logits: Callable[[Tensor, Mixing], Tensor],
        figures: Callable[[Callable[[Tensor], Tensor]], Figures],
        training_images: Callable[[int, int], Tensor],
        agree: Callable[[], None],
    ) -> None:
        self._supernet, self._cut = supernet, cut
        self._logits, self._figures = logits, figures
        self._training_images, self._agree = training_images, agree

    def measure(
        self,
        position: Position,
        genotype: Genotype,
        validation: Mixing,
        whole: Figures | None = None,
    ) -> events.GapMeasured:
        """Validate the supernet whole, cut, and cut with renewed statistics.

        Args:
            position: now.
            genotype: what the supernet is cut to.
            validation: the mixing of the whole supernet.
            whole: the figures of the whole supernet, where they are known.
        """
        supernet = self._supernet
        cut_to = self._cut(genotype)

        def one_pass(number: int) -> None:
            self._logits(self._training_images(position.epoch, number), cut_to)

        supernet.eval()
        if whole is None:
            whole = self._figures(lambda images: self._logits(images, validation))
        with without_auxiliary_skips(supernet.stochastic):
            derived = self._figures(lambda images: self._logits(images, cut_to))
            with renewed_statistics(supernet, one_pass):
                self._agree()
                renewed = self._figures(lambda images: self._logits(images, cut_to))
        return position.stamp(
            events.GapMeasured,
            supernet_loss=whole[0],
            supernet_top1=whole[1],
            derived_loss=derived[0],
            derived_top1=derived[1],
            renewed_loss=renewed[0],
            renewed_top1=renewed[1],
        )
