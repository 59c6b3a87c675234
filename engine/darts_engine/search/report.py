"""The events of a search: losses, alphas, genotype, health, and what else is measured.

`Search` is the step; here is what it reports. Nothing that a later step depends on changes here.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor

from darts_engine.compute import parallel, streams
from darts_engine.methods.method import Method
from darts_engine.methods.stopping.rules import EpochEvidence, strongest
from darts_engine.run import events
from darts_engine.run.architecture.genotype import Genotype
from darts_engine.run.settings.config import SearchConfig
from darts_engine.runner.loop import Timing
from darts_engine.runner.meter import Meter, number
from darts_engine.runner.position import Position
from darts_engine.runner.scores import Figures, Scores
from darts_engine.search.architecture_report import ArchitectureReport, shift_events
from darts_engine.search.curvature import Curvature
from darts_engine.search.discretisation_gap import GapMeter
from darts_engine.search.sides import Sides
from darts_engine.spaces.space import Space, plain_rows
from darts_engine.supernet.relaxed import RelaxedNetwork


class SearchReport:
    """Adds up the figures of steps, measures a supernet, and makes the events of both.

    Args:
        config: of the run.
        space: derives genotypes.
        halves: the images of the search.
        device: where figures are added up.

    Attributes:
        architecture: makes the events about alphas; it remembers the last genotype.
        recent: figures of the weight steps since the last report.
        make_meter, make_scores: make what adds up figures; a subclass may name other classes.
        counts_skips: whether the space has skip connections.
    """

    make_meter: ClassVar[Any] = Meter
    make_scores: ClassVar[Any] = Scores
    counts_skips: ClassVar[bool] = True

    def __init__(
        self, config: SearchConfig, space: Space, halves: Sides, device: torch.device
    ) -> None:
        self._config, self._space, self._halves = config, space, halves
        self._world = parallel.world()
        alert = config.search.skip_alert if self.counts_skips else None
        self.architecture = ArchitectureReport(space, alert)
        self.recent, self._recent_alpha = self.make_meter(device), self.make_meter(device)
        self._scores = self.make_scores(device)

    def observe(self, supernet: RelaxedNetwork, method: Method) -> None:
        """Report on this supernet from now on. A staged search has one in each stage."""
        self._supernet, self._method = supernet, method
        like = next(supernet.weights()).detach()
        steps = self._halves.steps_per_epoch
        self._gap = GapMeter(
            supernet,
            lambda genotype: self._space.cut(genotype, like),
            method.predict,
            self._halves.validate,
            lambda epoch, number: self._halves.weight_batch(epoch, number % steps + 1)[0],
            lambda: self._world.agree_on_statistics_(supernet),
        )

    def describe(self) -> dict[str, Any]:
        """The fields of `RunStarted` about the search, apart from its schedules."""
        return {
            "kind": "search",
            "method": self._config.search.method,
            "space": self._config.space.space,
            "parameters": sum(p.numel() for p in self._supernet.weights()),
            "alpha_parameters": sum(a.numel() for a in self._supernet.alphas.parameters()),
            "images": dict(self._halves.sizes),
            "cells": self._space.layout(),
        }

    # Steps ----------------------------------------------------------------------------------------

    def add_weight_step(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Add a weight step's mean loss, logits (B, classes) and labels (B,)."""
        for meter in (self._scores.train, self.recent):
            meter.add(loss, logits, labels)

    def add_alpha_step(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Add an alpha step's mean loss, logits (B, classes) and labels (B,)."""
        self._recent_alpha.add(loss, logits, labels)

    def forget_steps(self) -> None:
        """Drop the figures of the steps since the last report."""
        self.recent.reset()
        self._recent_alpha.reset()

    def steps(self, position: Position) -> list[events.Event]:
        """The mean losses since the last report; every second or more seldom the alphas too."""
        reported: list[events.Event] = [
            position.stamp(events.StepFinished, **self.recent_figures())
        ]
        self.forget_steps()
        # Each rank has its own clock, but all of them take part in the check of the product.
        if self._world.of_rank_0(self.architecture.is_due()):
            reported += self.alphas(position)
            if self._config.search.hvp_check and position.step:
                reported.append(self._hvp_check(position))
        return reported

    def recent_figures(self) -> dict[str, float | None]:
        """The figures of `StepFinished`, of the steps since the last report."""
        loss, top1, _ = self.recent.read()
        return {
            "train_loss": loss,
            "train_top1": top1,
            "alpha_loss": self._recent_alpha.read()[0],
        }

    def alphas(self, position: Position, *, always_derive: bool = False) -> list[events.Event]:
        """Alphas, the genotype where it changed (or always), and the last mean shift."""
        alphas, mixing = self._supernet.alphas.matrices(), self._method.strengths()
        sample = self.architecture.sample(position, alphas, mixing, always_derive=always_derive)
        return sample + shift_events(position, self._method.shift())

    def _hvp_check(self, position: Position) -> events.HvpChecked:
        """The error of the finite difference at the step's batches and the weights after it."""
        place = (position.epoch, position.step)
        distance = self._method.distance(
            self._halves.alpha_batch(*place),
            self._halves.weight_batch(*place),
            self._halves.shards(*place),
        )
        return position.stamp(
            events.HvpChecked,
            radius=self._config.search.hvp_radius,
            relative_distance=number(distance.product),
            gradient_distance=number(distance.gradient),
        )

    # Epochs ---------------------------------------------------------------------------------------

    def eigenvalue(self, position: Position) -> float:
        """The dominant eigenvalue of the Hessian of the validation loss in alpha.

        As in R-DARTS's code (Zela et al., 2020, arXiv 1909.09656): at the epoch's last alpha batch,
        the network in training mode, the weights constant. The same number on all ranks.

        DEVIATION: that code takes the Hessian of the loss with alpha's weight decay, which adds the
        decay to every eigenvalue. Here it does with `method.hessian_decay`: the paper's eigenvalue
        is of the validation loss, and a constant hides how much a small one has grown.
        """
        draws = streams.generator(self._config.engine.seed, "eigenvalue", position.epoch)
        batch = self._halves.alpha_batch(position.epoch, position.step)
        with self._method.alpha_loss(batch) as loss:
            found = Curvature(loss, list(self._supernet.alphas.parameters())).dominant(draws)
        if self._config.method.hessian_decay:
            found += self._config.alpha.weight_decay
        # Rules act on it, and all ranks have to do the same.
        return self._world.number_of_rank_0(found)

    def health(
        self, position: Position, weight_grad_norm: Tensor, eigenvalue: float | None
    ) -> list[events.Event]:
        """Entropies, skip connections, gradient norms and the eigenvalue, with their alerts."""
        return self.architecture.health(
            position,
            self._method.strengths(),
            alpha_grad_norm=self._method.grad_norm,
            weight_grad_norm=weight_grad_norm,
            eigenvalue=eigenvalue,
            hidden_norm=self.hidden_norm(),
        )

    def hidden_norm(self) -> float | None:
        """The norm of hidden states, which only networks on text have."""
        return None

    def gap(self, position: Position, whole: Figures | None = None) -> events.GapMeasured:
        """The discretisation gap; `whole` is the supernet's validation, where it is known."""
        genotype = self._space.derive(self._method.strengths())
        return self._gap.measure(position, genotype, self._method.validation_mixing(), whole)

    def evidence(self, position: Position, eigenvalue: float | None) -> EpochEvidence:
        """What the stop rules judge the epoch by."""
        mixing = self._method.strengths()
        rankings = {cell: self._strongest(cell, weights) for cell, weights in mixing.items()}
        return EpochEvidence(position.epoch, eigenvalue, self._space.derive(mixing), rankings)

    def _strongest(self, cell: str, weights: Tensor) -> list[int]:
        """The column of each edge's strongest operation; `weights` are (E, O).

        Searches of version 0.1.0 counted `none`, which no genotype keeps.
        """
        names = self._space.candidates().get(cell)
        if names is None or self._config.method.ranking_counts_none:
            ranked: list[int] = weights.argmax(-1).tolist()
            return ranked
        return strongest(plain_rows(weights), names)

    def entropies(self) -> dict[str, float | None]:
        """The mean entropy of each cell's edges, nats."""
        return self.architecture.entropies(self._method.strengths())

    def finish_epoch(
        self, position: Position, timing: Timing, valid: Figures
    ) -> events.EpochFinished:
        """The epoch's training and validation figures; those of the next epoch begin at 0."""
        finished: events.EpochFinished = self._scores.finish_epoch(position, timing, valid)
        return finished

    def finish(self, seconds: float, result: Genotype) -> events.RunFinished:
        """The run's last event."""
        finished: events.RunFinished = self._scores.finish(seconds, result)
        return finished

    # Checkpoints ----------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """The epoch's figures so far, the best epoch, and what was reported last."""
        return {"architecture": self.architecture.state(), **self._scores.state()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.architecture.load_state(state["architecture"])
        self._scores.load_state(state)
