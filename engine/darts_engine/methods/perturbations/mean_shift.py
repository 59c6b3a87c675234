"""MS-DARTS: mean shift of the mixing weights towards nearby samples with a large loss.

Hsieh et al., 2021, arXiv 2108.09996, eq. 3 to 11, and the code at github.com/aaron851113/MS-DARTS.
N samples X_n are drawn around the mixing weights P within the radius. Each is weighted by its loss
(softmax over the samples' losses) and by its distance (a Gaussian kernel of bandwidth h, per cell
type). P moves to their weighted mean. This is done T times.

    P <- sum_n X_n omega_n k(X_n - P) / sum_n omega_n k(X_n - P)
    k(d) = exp(-(|d| / h)^2 / 2) / (h sqrt(2 pi)),  omega = softmax over n of the loss at X_n

Shapes: N samples, E edges, O operations.

By default this follows the paper: the validation loss, every sample on the simplex, and the mean
on it too. The published code differs in three ways, which `official` brings back: the loss is that
of the training batch, the mean is over the samples before they were put onto the simplex, and the
result is not put there either.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from darts_engine.methods.perturbations.random_and_adversarial import Losses, noise
from darts_engine.methods.perturbations.simplex import clipped
from darts_engine.supernet.mixing import Matrices


@dataclass
class Shift:
    """The figures of the last perturbation, on the device, for its event.

    Attributes:
        losses: (T * N,) losses of the samples in the order they were drawn.
        lengths: by cell, the L2 distance of P after the shifts from P before.
        radius: epsilon.
    """

    losses: Tensor = field(default_factory=lambda: torch.zeros(0))
    lengths: dict[str, Tensor] = field(default_factory=dict)
    radius: float = 0.0


class MeanShift:
    """The mean-shift perturbation.

    Args:
        radius: epsilon that the search's end approaches; it begins at a tenth of it.
        bandwidth: h of the kernel.
        samples: N.
        iterations: T.
        official: as the published code, not the paper.
    """

    def __init__(
        self, radius: float, bandwidth: float, samples: int, iterations: int, *, official: bool
    ) -> None:
        self._radius, self.bandwidth = radius, bandwidth
        self._samples, self._iterations, self._official = samples, iterations, official
        self.last = Shift()

    def radius(self, epoch: int, epochs: int) -> float:
        """Epsilon in an epoch (from 1): r / 10 + 0.9 r e / E, e from 0."""
        return self._radius / 10 + 0.9 * self._radius * (epoch - 1) / epochs

    @torch.no_grad()
    def perturb(
        self, weights: Matrices, losses: Losses, radius: float, draws: torch.Generator
    ) -> dict[str, Tensor]:
        """P after T shifts, (E, O) by cell; arguments as of `Perturbation.perturb`."""
        objective = losses.train if self._official else losses.valid
        here = {cell: w.detach() for cell, w in weights.items()}
        all_losses = []
        for _ in range(self._iterations):
            drawn = [
                {cell: w + noise(w, radius, draws) for cell, w in here.items()}
                for _ in range(self._samples)
            ]
            on_simplex = [{cell: clipped(w) for cell, w in sample.items()} for sample in drawn]
            loss_N = torch.stack([objective.value(sample) for sample in on_simplex])
            all_losses.append(loss_N)
            averaged = drawn if self._official else on_simplex
            here = {
                cell: self._shifted(
                    here[cell],
                    torch.stack([sample[cell] for sample in averaged]),
                    torch.stack([sample[cell] for sample in on_simplex]),
                    loss_N,
                )
                for cell in here
            }
        lengths = {cell: (here[cell] - w.detach()).norm() for cell, w in weights.items()}
        self.last = Shift(torch.cat(all_losses), lengths, radius)
        return here

    def _shifted(
        self, here: Tensor, averaged: Tensor, on_simplex: Tensor, loss_N: Tensor
    ) -> Tensor:
        """The weighted mean (E, O) of the samples `averaged` (N, E, O) with their losses (N,)."""
        apart = (here - on_simplex).flatten(1).norm(dim=1) / self.bandwidth
        # omega_n k(X_n - P) over their sum is one softmax: constants cancel, nothing underflows.
        factors = torch.softmax(loss_N.to(apart.dtype) - apart.square() / 2, 0)
        mean = torch.einsum("n,neo->eo", factors, averaged)
        return mean if self._official else clipped(mean)
