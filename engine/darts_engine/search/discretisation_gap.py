"""The discretisation gap: what the supernet loses when it is cut to the genotype it would give.

Zela et al., 2020, arXiv 1909.09656, section 4: the kept operations of the kept edges get weight 1,
all others 0, and the network keeps its weights. Batch norm's running statistics belong to the
mixture, so the cut network is also measured with statistics of its own, which tells a lost scale
from a lost architecture.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from darts_engine.run import events
from darts_engine.run.architecture.genotype import Genotype
from darts_engine.runner.position import Position
from darts_engine.runner.scores import Figures
from darts_engine.supernet.mixing import Mixing
from darts_engine.supernet.relaxed import RelaxedNetwork
from darts_engine.supernet.stochastic import StochasticOps

# Batches of training images that renew the running statistics.
RENEWING = 20


@contextmanager
def without_helpers(stochastic: StochasticOps) -> Iterator[None]:
    """No auxiliary skips for a while: a derived network has none."""
    was, stochastic.auxiliary = stochastic.auxiliary, 0.0
    try:
        yield
    finally:
        stochastic.auxiliary = was


@contextmanager
def renewed_statistics(network: nn.Module, one_pass: Callable[[int], None]) -> Iterator[None]:
    """Running statistics for a while that are the mean over some passes in training mode.

    Args:
        network: comes back as it was.
        one_pass: runs it on the batch of that number, from 0.
    """
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    norms = [norm for norm in norms if norm.running_mean is not None]
    before = [{name: b.clone() for name, b in norm.named_buffers()} for norm in norms]
    momenta, was = [norm.momentum for norm in norms], network.training
    try:
        network.train()
        with torch.no_grad():
            for count in range(RENEWING):
                for norm in norms:
                    norm.momentum = 1 / (count + 1)
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
        supernet: is cut and made whole again.
        cut: the mixing that computes a genotype alone.
        logits: of images at a mixing.
        figures: of what makes logits of images.
        training_images: a batch of them by epoch and number.
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
        self, position: Position, genotype: Genotype, clean: Mixing, whole: Figures | None = None
    ) -> events.GapMeasured:
        """The event.

        Args:
            position: now.
            genotype: what the supernet is cut to.
            clean: what it is validated with when whole.
            whole: what came of that, where it is known.
        """
        supernet = self._supernet
        cut_to = self._cut(genotype)

        def one_pass(number: int) -> None:
            self._logits(self._training_images(position.epoch, number), cut_to)

        supernet.eval()
        if whole is None:
            whole = self._figures(lambda images: self._logits(images, clean))
        with without_helpers(supernet.stochastic):
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
