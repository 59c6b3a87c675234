"""A search method: one choice on each axis, put together around a supernet.

The axes are independent (docs/methods.md). A step calls, in this order: `begin_step`, then
`alpha_gradient` and `move` for alpha, then `weight_mixing` for the weights. Views and derivation
use `strengths`: the relaxation without sampling or perturbation. Shapes: B batch, C channels, H W
space, E edges, O operations.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor

from darts_engine.compute import device as devices
from darts_engine.compute import streams
from darts_engine.compute.parallel import Shard, world
from darts_engine.layers.norm import statistics_kept
from darts_engine.methods import axes
from darts_engine.methods.architects.first_order import BOTH_WHOLE, AlphaGradient, Shards
from darts_engine.methods.architects.second_order import Distance, SecondOrder
from darts_engine.methods.perturbations.mean_shift import MeanShift
from darts_engine.methods.perturbations.random_and_adversarial import Losses, Objective
from darts_engine.methods.schedules.staged import Stage, explain, narrowed, stage_of, stages
from darts_engine.run.settings.config import SearchConfig
from darts_engine.supernet.mixing import Matrices, Mixing
from darts_engine.supernet.relaxed import Batch, Inputs, RelaxedNetwork
from darts_engine.supernet.supernet import CELLS, Supernet


class Method:
    """The choices of a config, put together around a supernet.

    Args:
        supernet: its alphas learn.
        config: the axes are in its sections search, alpha and method.
        optimizer: SGD on the weights; second order takes alpha's gradient through its next step.

    Attributes:
        relaxation: makes mixing weights of alphas.
        perturbation: moves the mixing weights of a weight step; None where there is none.
        architect: computes alpha's gradient and moves alpha.
    """

    def __init__(
        self, supernet: RelaxedNetwork, config: SearchConfig, optimizer: torch.optim.Optimizer
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
        self._world = world()
        self._place = (0, 0)
        self._part = "alpha"
        self._passes = 0
        supernet.relax = self._relax
        self.architect = axes.architect(supernet, config, optimizer)
        self._greedy = axes.greedy(config, supernet)
        self._plan = stages(config)

    def _relax(self) -> Mixing:
        """The mixing of a forward pass that is given none.

        All passes of an alpha step draw the same numbers, because second order compares them.
        With `text.redraw_masks` each draws its own, as the official code on text.
        """
        self._passes += 1
        again = f" {self._passes}" if self._config.text.redraw_masks else ""
        self._supernet.stochastic.draws = self._draws(f"chance {self._part}{again}", self._device)
        mixing = self.relaxation.mix(self._matrices, self._draws(self._part))
        return self._settled(mixing._replace(shares=self._supernet.alphas.shares()))

    def _settled(self, mixing: Mixing) -> Mixing:
        """The mixing with the decisions of a greedy schedule put in."""
        return mixing if self._greedy is None else self._greedy.settled(mixing)

    def _draws(self, purpose: str, device: torch.device | None = None) -> torch.Generator:
        seed, name = self._config.engine.seed, f"method {purpose}"
        return streams.generator(seed, name, *self._place, device or torch.device("cpu"))

    @property
    def _matrices(self) -> Matrices:
        return self._supernet.alphas.matrices()

    # The step -------------------------------------------------------------------------------------

    def begin_epoch(self, epoch: int) -> None:
        """Set the schedules' values of an epoch (from 1)."""
        values = self.schedule_values(epoch)
        self.relaxation.begin_epoch(epoch, self._epochs)
        self._radius = values.get("radius", 0.0)
        self._regulariser_weight = values.get("regulariser", 0.0)
        stochastic = self._supernet.stochastic
        stochastic.auxiliary = values.get("auxiliary", 0.0)
        stochastic.drop_path = values["drop_path"]
        stochastic.skip_dropout = values.get("skip_dropout", 0.0)

    def schedule_values(self, epoch: int) -> dict[str, float]:
        """The values of the method's schedules in an epoch (from 1), by name."""
        method = self._config.method
        gone = (epoch - 1) / max(1, self._epochs - 1)
        # R-DARTS (Zela et al., 2020, arXiv 1909.09656), drop path on edges: p e / (E - 1).
        values = {"drop_path": method.edge_drop_path * gone}
        values |= self.relaxation.schedule(epoch, self._epochs)
        if self.perturbation is not None:
            values["radius"] = self.perturbation.radius(epoch, self._epochs)
        if self._regulariser is not None:
            values["regulariser"] = axes.regulariser_weight(self._config, epoch)
        if method.auxiliary_skip:
            # DARTS- (Chu et al., 2021, arXiv 2009.01027): the skip beside each edge, 1 - e / E.
            values["auxiliary"] = (self._epochs - (epoch - 1)) / self._epochs
        if method.cutout_ramp:
            # DEVIATION: the official code computes this ramp and then cuts out of every image.
            values["cutout"] = self._config.data.cutout_prob * gone
        if len(self._plan) > 1:
            values["skip_dropout"] = stage_of(self._plan, epoch).skip_dropout(epoch)
        return values

    def begin_step(self, epoch: int, step: int) -> None:
        """Name the random streams of the step."""
        self._place, self._part, self._passes = (epoch, step), "alpha", 0

    def alpha_gradient(
        self, batch: Batch, weight_batch: Batch, shards: Shards = BOTH_WHOLE
    ) -> AlphaGradient:
        """Alpha's gradient, the regulariser's included; the loss is the cross entropy alone.

        Args:
            batch: inputs and labels of the alpha half.
            weight_batch: the batch of the next weight step.
            shards: this process's part of both.
        """
        self._supernet.stochastic.shards = shards
        alpha_gradient = self.architect.alpha_gradient(batch, weight_batch, shards)
        if self._regulariser is None:
            return alpha_gradient
        alphas = list(self._supernet.alphas.parameters())
        term = shards[0].of(self._regulariser_weight * self._regulariser(self._matrices))
        extra = torch.autograd.grad(term, alphas, materialize_grads=True)
        return alpha_gradient._replace(
            gradients=[g + e for g, e in zip(alpha_gradient.gradients, extra, strict=True)]
        )

    def move(self, gradients: Sequence[Tensor]) -> None:
        """One step of alpha down its gradient, an (E, O) matrix for each alpha.

        `method.alpha_clip` limits the gradient's L2 norm over all alphas.
        """
        norm = torch.stack([g.norm() for g in gradients]).norm()
        if limit := self._config.method.alpha_clip:
            gradients = [g * (limit / (norm + 1e-6)).clamp(max=1) for g in gradients]
        if self._greedy is None:
            self.architect.move(gradients)
        else:
            self._greedy.hold(self._matrices, partial(self.architect.move, gradients))
        self.architect.grad_norm = norm

    def decide(self, epoch: int) -> list[str]:
        """Take the decisions of a greedy or staged schedule that are due at an epoch's end.

        Returns:
            A line for people about each.
        """
        number = stage_of(self._plan, epoch).number + 1
        if number < len(self._plan) and epoch == self._plan[number].first - 1:
            stage = self._plan[number]
            return [explain(self._plan, stage, self._candidates(), self.left_for(stage))]
        if self._greedy is None:
            return []
        relaxed = self.relaxation.expected(self._matrices)
        return [self._greedy.explain(d) for d in self._greedy.finish_epoch(epoch, relaxed)]

    def left_for(self, stage: Stage) -> dict[str, list[list[str]]]:
        """The strongest candidates of each edge, as many as a stage has; by cell and edge."""
        names = self._candidates()
        most = stage.candidates or max(len(edge) for edges in names.values() for edge in edges)
        with torch.no_grad():
            weights = self._settled(Mixing(self.relaxation.strengths(self._matrices))).weights
        return narrowed(names, {cell: w.tolist() for cell, w in weights.items()}, most)

    def _candidates(self) -> dict[str, list[tuple[str, ...]]]:
        # Other networks have no stages.
        assert isinstance(self._supernet, Supernet)
        return {cell: self._supernet.design.candidates(cell) for cell in CELLS}

    @property
    def is_perturbing(self) -> bool:
        """Whether the weight step needs a batch of the alpha half too."""
        return self.perturbation is not None

    def weight_mixing(
        self, weight_batch: Batch, batch: Batch | None, shards: Shards = BOTH_WHOLE
    ) -> Mixing:
        """The mixing of a weight step; no gradient reaches alpha.

        Args:
            weight_batch: inputs and labels that the weights learn from.
            batch: of the alpha half; needed only where `is_perturbing`.
            shards: this process's part of the alpha batch and of the weight batch.
        """
        self._part = "weights"
        self._supernet.stochastic.shards = shards[::-1]
        with torch.no_grad():
            mixing = self._relax()
        if self.perturbation is None or batch is None:
            return mixing

        def objective(of: Batch, shard: Shard) -> Objective:
            return Objective(partial(self._loss, of, shard, mixing), self._world.sum_)

        losses = Losses(objective(weight_batch, shards[1]), objective(batch, shards[0]))
        with self._evaluating(), self.architect.weights_frozen():
            moved = self.perturbation.perturb(
                mixing.weights, losses, self._radius, self._draws("perturbation")
            )
        found = {cell: w.detach() for cell, w in moved.items()}
        return self._settled(mixing._replace(weights=found))

    def _loss(self, batch: Batch, shard: Shard, mixing: Mixing, weights: Matrices) -> Tensor:
        with self._precision():
            settled = self._settled(mixing._replace(weights=weights))
            return shard.of(self._supernet.loss(batch, settled).loss)

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        """Inside, evaluation mode: running statistics are used and not updated."""
        was = self._supernet.training
        self._supernet.eval()
        try:
            yield
        finally:
            self._supernet.train(was)

    # Outside of steps -----------------------------------------------------------------------------

    def strengths(self) -> dict[str, Tensor]:
        """The strengths to show and to derive from, (E, O) for each cell.

        They are those of the relaxation times the shares of their edges.
        """
        with torch.no_grad():
            found = self.relaxation.strengths(self._matrices)
            weights, shares, _ = self._settled(Mixing(found, self._supernet.alphas.shares()))
        if shares is None:
            return dict(weights)
        return {cell: w * shares[cell][:, None] for cell, w in weights.items()}

    @torch.no_grad()
    def validation_mixing(self) -> Mixing:
        """The mixing that validation computes with: neither sampled nor perturbed."""
        self._part = "validation"
        self._supernet.stochastic.shards = ()
        self._supernet.stochastic.draws = self._draws("chance validation", self._device)
        mixing = self.relaxation.validated(self._matrices)
        return self._settled(mixing._replace(shares=self._supernet.alphas.shares()))

    def expected_mixing(self) -> Mixing:
        """The mean of the relaxation's mixing, with its graph to alpha."""
        weights = self.relaxation.expected(self._matrices)
        return self._settled(Mixing(weights, self._supernet.alphas.shares()))

    def predict(self, inputs: Inputs, mixing: Mixing) -> Any:
        """What the supernet makes of inputs at a mixing: logits (B, classes) of images."""
        with self._precision():
            return self._supernet.predict(inputs, mixing)

    @contextmanager
    def alpha_loss(self, batch: Batch) -> Iterator[Callable[[], Tensor]]:
        """The loss of an alpha batch as a function of alpha, for its curvature.

        Inside, the function returns the mean cross entropy, a scalar with its graph to alpha, at
        the expected mixing. The network is in training mode, its weights are constant, and running
        statistics stay as they are. Afterwards it is in evaluation mode.
        """

        def loss() -> Tensor:
            # The same masks at every call, whose losses are compared.
            draws = self._draws("chance curvature", self._device)
            self._supernet.stochastic.draws = draws
            return self._supernet.loss(batch, self.expected_mixing()).loss

        self._supernet.train()
        with statistics_kept(self._supernet), self.architect.weights_frozen():
            yield loss
        self._supernet.eval()

    @property
    def grad_norm(self) -> Tensor:
        """The L2 norm of alpha's last gradient, a scalar on the device."""
        return self.architect.grad_norm

    def distance(self, batch: Batch, weight_batch: Batch, shards: Shards = BOTH_WHOLE) -> Distance:
        """The error of second order's finite difference, relative to the exact product.

        Args:
            batch: of the alpha half.
            weight_batch: of the weight half.
            shards: this process's part of both.

        Raises:
            TypeError: the method is of first order, which has no finite difference.
        """
        if not isinstance(self.architect, SecondOrder):
            raise TypeError("first order takes no product with the Hessian")
        return self.architect.distance(batch, weight_batch, shards)

    def shift(self) -> MeanShift | None:
        """The perturbation, if it is a mean shift; else None."""
        return self.perturbation if isinstance(self.perturbation, MeanShift) else None

    def state(self) -> dict[str, Any]:
        """Everything the next step depends on: Adam's moments and a greedy schedule's decisions."""
        return {
            "architect": self.architect.state(),
            "greedy": self._greedy.state() if self._greedy else {},
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.architect.load_state(state["architect"])
        if self._greedy is not None:
            self._greedy.load_state(state["greedy"])
