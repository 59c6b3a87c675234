"""A search method: one choice on each axis, and what the search asks of them together.

The axes are independent (docs/methods.md). A step asks, in this order: `begin_step`, then `look`
and `move` for alpha, then `weight_mixing` for the weights. `mixing` is what is shown, validated
and derived from: the relaxation without chance or perturbation.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor

from darts_engine import device as devices
from darts_engine import streams
from darts_engine.meter import cross_entropy
from darts_engine.methods import axes
from darts_engine.methods.darts import architect
from darts_engine.methods.first_order import Batch, Look
from darts_engine.methods.mean_shift import MeanShift
from darts_engine.methods.perturbation import Losses
from darts_engine.methods.second_order import Distance, SecondOrder
from darts_engine.mixing import Matrices, Mixing
from darts_engine.norm import statistics_kept
from darts_engine.run.config import SearchConfig
from darts_engine.supernet import Supernet


class Method:
    """The choices of a config, put together around a supernet.

    Args:
        supernet: whose alphas move.
        config: the axes are in its sections search, alpha and method.
        optimizer: the one that moves the weights.
    """

    def __init__(
        self, supernet: Supernet, config: SearchConfig, optimizer: torch.optim.Optimizer
    ) -> None:
        self._supernet, self._config = supernet, config
        self._device = next(supernet.parameters()).device
        self._precision = partial(devices.autocast, self._device, config.engine)
        self._epochs = config.search.epochs
        self.relaxation = axes.relaxation(config)
        self.perturbation = axes.perturbation(config)
        self._regulariser = axes.regulariser(config)
        self._regulariser_weight = 0.0
        self._radius = 0.0
        self._place = (0, 0)
        self._part = "alpha"
        supernet.relax = self._relax
        self.architect = architect(supernet, config, optimizer)

    def _relax(self) -> Mixing:
        """What a forward pass computes with that is given no mixing.

        All passes of an alpha step draw the same: second order compares them.
        """
        return self.relaxation.mix(self._matrices, self._draws(self._part))

    def _draws(self, purpose: str) -> torch.Generator:
        return streams.generator(self._config.engine.seed, f"method {purpose}", *self._place)

    @property
    def _matrices(self) -> Matrices:
        return self._supernet.alphas.matrices()

    # The step -------------------------------------------------------------------------------------

    def begin_epoch(self, epoch: int) -> dict[str, float]:
        """Set what changes by epoch; the values of the method's own schedules by name."""
        values = self.schedule_values(epoch)
        self.relaxation.begin_epoch(epoch, self._epochs)
        self._radius = values.get("radius", 0.0)
        self._regulariser_weight = values.get("regulariser", 0.0)
        return values

    def schedule_values(self, epoch: int) -> dict[str, float]:
        """The method's schedules in an epoch (from 1)."""
        values = self.relaxation.schedule(epoch, self._epochs)
        if self.perturbation is not None:
            values["radius"] = self.perturbation.radius(epoch, self._epochs)
        if self._regulariser is not None:
            values["regulariser"] = axes.regulariser_weight(self._config, epoch)
        return values

    def begin_step(self, epoch: int, step: int) -> None:
        """Name the random streams of the step."""
        self._place, self._part = (epoch, step), "alpha"

    def look(self, batch: Batch, weight_batch: Batch) -> Look:
        """The architect's look, with the regulariser's gradient added to alpha's.

        The loss that is told stays the cross entropy.
        """
        look = self.architect.look(batch, weight_batch)
        if self._regulariser is None:
            return look
        alphas = list(self._supernet.alphas.parameters())
        term = self._regulariser_weight * self._regulariser(self._matrices)
        extra = torch.autograd.grad(term, alphas, materialize_grads=True)
        return look._replace(gradients=[g + e for g, e in zip(look.gradients, extra, strict=True)])

    def move(self, gradients: Sequence[Tensor]) -> None:
        """One step of alpha down a gradient."""
        self.architect.move(gradients)

    @property
    def perturbs(self) -> bool:
        """Whether the weights' step needs a batch of the alpha half too."""
        return self.perturbation is not None

    def weight_mixing(self, weight_batch: Batch, batch: Batch | None) -> Mixing:
        """What the weights compute with in their own step; no gradient reaches alpha.

        Args:
            weight_batch: what the weights are about to learn from.
            batch: of the alpha half; needed only where `perturbs`.
        """
        self._part = "weights"
        with torch.no_grad():
            mixing = self._relax()
        if self.perturbation is None or batch is None:
            return mixing
        losses = Losses(partial(self._loss, weight_batch), partial(self._loss, batch))
        with self._looking(), self.architect.weights_frozen():
            moved = self.perturbation.perturb(
                mixing.weights, losses, self._radius, self._draws("perturbation")
            )
        return mixing._replace(weights={cell: w.detach() for cell, w in moved.items()})

    def _loss(self, batch: Batch, weights: Matrices) -> Tensor:
        images, labels = batch
        with self._precision():
            return cross_entropy(self._supernet(images, weights), labels)

    @contextmanager
    def _looking(self) -> Iterator[None]:
        """Evaluation mode for a while: running statistics are used and left alone."""
        was = self._supernet.training
        self._supernet.eval()
        try:
            with statistics_kept(self._supernet):
                yield
        finally:
            self._supernet.train(was)

    # What is known of it --------------------------------------------------------------------------

    def mixing(self) -> dict[str, Tensor]:
        """The (E, O) weights without chance or perturbation."""
        with torch.no_grad():
            return self.relaxation.expected(self._matrices)

    @property
    def grad_norm(self) -> Tensor:
        """The L2 norm of alpha's last gradient."""
        return self.architect.grad_norm

    def distance(self, batch: Batch, weight_batch: Batch) -> Distance:
        """How far second order's finite difference is off.

        Raises:
            TypeError: the method is of first order.
        """
        if not isinstance(self.architect, SecondOrder):
            raise TypeError("first order takes no product with the Hessian")
        return self.architect.distance(batch, weight_batch)

    def shift(self) -> MeanShift | None:
        """The mean shift, where the method has one."""
        return self.perturbation if isinstance(self.perturbation, MeanShift) else None

    def state(self) -> dict[str, Any]:
        """Everything the next step depends on."""
        return self.architect.state()

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.architect.load_state(state)
