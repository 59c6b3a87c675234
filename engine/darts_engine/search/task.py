"""The search: alpha and weights in turn. The file to read first.

Liu et al., DARTS, 2019, arXiv 1806.09055, algorithm 1. One half of the training images moves the
weights, the other half moves alpha. `Search.step` is the whole story of a step; `loop.Loop` calls
it, and decides when the events of `Search.report` are due.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from darts_engine.compute import device as devices
from darts_engine.compute import parallel, streams
from darts_engine.data.batches import Batches, augmentation
from darts_engine.data.dataset import Dataset, halves
from darts_engine.layers.norm import statistics_kept
from darts_engine.layers.sync_norm import synchronise
from darts_engine.memory import footprint
from darts_engine.methods.architects.first_order import Batch, Shards
from darts_engine.methods.method import Method
from darts_engine.methods.schedules import staged
from darts_engine.methods.schedules.staged import Stage
from darts_engine.methods.stopping.rules import EpochEvidence, Verdict
from darts_engine.optim.loss import cross_entropy
from darts_engine.optim.schedules import cosine, spans
from darts_engine.run import events
from darts_engine.run.settings import catalog
from darts_engine.run.settings.config import SearchConfig
from darts_engine.runner.loop import Timing
from darts_engine.runner.meter import FiniteGuard, Meter, number
from darts_engine.runner.position import Position
from darts_engine.runner.scores import Figures, Scores, evaluate
from darts_engine.runner.stopwatch import Stopwatch
from darts_engine.search.architecture_report import ArchitectureReport, shift_events
from darts_engine.search.curvature import Curvature
from darts_engine.search.discretisation_gap import GapMeter
from darts_engine.search.ending import Ending
from darts_engine.spaces.space import Space
from darts_engine.supernet.mixing import Mixing
from darts_engine.supernet.relaxed import RelaxedNetwork
from darts_engine.tables.tables import Tables


class Search:
    """A supernet, the method that moves its alphas, and the data of both.

    Args:
        config: what was asked.
        dataset: its training part is halved; the test part is never looked at.
        device: where it computes.
    """

    def __init__(self, config: SearchConfig, dataset: Dataset, device: torch.device) -> None:
        self.config, self.device = config, device
        self.epochs = config.search.epochs
        seed, batch = config.engine.seed, config.data.batch_size

        weight_half, alpha_half = halves(dataset.train)
        self._weight_part, self._alpha_part = weight_half.to(device), alpha_half.to(device)
        self._augment = augmentation(config.data, dataset, device)
        self._world = parallel.world()
        least = 1 if config.engine.sync_bn else parallel.LEAST
        self._weight_batches = Batches(
            self._weight_part, self._augment, batch, seed, "weights", least=least
        )
        # DEVIATION: the official code draws each alpha batch from a fresh shuffle, so an image may
        # come up many times an epoch. Ours goes through a shuffled half like any other training.
        self._alpha_batches = Batches(
            self._alpha_part, self._augment, batch, seed, "alpha", least=least
        )
        self.steps_per_epoch = self._weight_batches.steps

        self.space: Space = catalog.resolve("space", catalog.SPACES, config.space.space)(config)
        self._dataset = dataset
        self._plan = staged.stages(config)
        self._enter(self._plan[0])
        self._finite = FiniteGuard(device)
        self._scores, self._recent = Scores(device), Meter(device)
        self._recent_alpha = Meter(device)
        self._weight_grad_norm = torch.zeros((), device=device)
        self._architecture = ArchitectureReport(self.space, config.search.skip_alert)
        self._stopwatch = Stopwatch()
        self._ending = Ending(config)

    def _enter(self, stage: Stage) -> None:
        """Begin a stage with a fresh supernet of the candidates that are left."""
        weights = self.config.weights
        self._stage = stage
        self.supernet = self._supernet_of(stage, self.space)
        self._weights = list(self.supernet.weights())
        self._optimizer = torch.optim.SGD(
            self._weights,
            lr=weights.lr,
            momentum=weights.momentum,
            weight_decay=weights.weight_decay,
        )
        self.method = Method(self.supernet, self.config, self._optimizer)
        like = self._weights[0].detach()
        self._gap = GapMeter(
            self.supernet,
            lambda genotype: self.space.cut(genotype, like),
            self._logits,
            lambda predict: evaluate(self._alpha_part, self._augment, predict),
            lambda epoch, number: self._weight_batch(epoch, number % self.steps_per_epoch + 1)[0],
            lambda: self._world.agree_on_statistics_(self.supernet),
        )

    def look_up_in(self, tables: Tables) -> None:
        """Tell from now on what these tables say of a derived genotype."""
        self._architecture.tables = tables

    def _supernet_of(self, stage: Stage, space: Space) -> RelaxedNetwork:
        supernet = space.supernet(
            self._dataset.image_shape[0],
            len(self._dataset.classes),
            more_layers=stage.more_layers,
            stage=stage.number,
        )
        devices.place(supernet, self.device, channels_last=self.config.engine.channels_last)
        supernet.recomputes = self.config.engine.checkpoint_activations
        if self.config.engine.sync_bn:
            synchronise(supernet, self._world)
        return supernet

    # The step -------------------------------------------------------------------------------------

    def opening(self, position: Position) -> list[events.Event]:
        """The alphas that the first step starts from, so that a watcher need not wait for one."""
        return self._sample(position, always_derive=False)

    def begin_epoch(self, epoch: int) -> dict[str, float]:
        """Begin a stage if it is one's first; set what changes by epoch; the schedules' values."""
        stage = staged.stage_of(self._plan, epoch)
        if stage.number > self._stage.number:
            self.space.narrow(self.method.left_for(stage))
            self._enter(stage)
        values = self._schedule_values(epoch)
        for group in self._optimizer.param_groups:
            group["lr"] = values["lr_weights"]
            group["weight_decay"] = values.get("weight_decay", group["weight_decay"])
        if "cutout" in values:
            self._weight_batches.cut_out(values["cutout"])
            self._alpha_batches.cut_out(values["cutout"])
        self.method.begin_epoch(epoch)
        return values

    def step(self, epoch: int, step: int) -> int:
        """One alpha step, then one weight step that sees the new alpha; the latter's images."""
        self.supernet.train()
        self.method.begin_step(epoch, step)
        with self._stopwatch.part("data"):
            weight_batch = self._weight_batch(epoch, step)
            moves = self._alpha_moves(epoch)
            needs_batch = moves or self.method.perturbs
            batch = self._alpha_batch(epoch, step) if needs_batch else None
        if batch is not None and moves:
            with self._stopwatch.part("alpha"):
                self._alpha_step(batch, weight_batch, epoch, step)
        with self._stopwatch.part("weights"):
            self._weight_step(weight_batch, batch, epoch, step)
        return self._weight_batches.images(epoch, step)

    def _alpha_step(self, batch: Batch, weight_batch: Batch, epoch: int, step: int) -> None:
        shards = self._shards(epoch, step)
        loss, logits, gradients = self.method.alpha_gradient(batch, weight_batch, shards)
        self._finite.check(loss, "alpha's loss", epoch, step)
        self._world.sum_(gradients)
        for gradient in gradients:
            self._finite.check(gradient, "alpha's gradient", epoch, step)
        self.method.move(gradients)
        if shards[0].counts:
            self._recent_alpha.add(loss, logits, batch[1])

    def _weight_step(self, batch: Batch, alpha_batch: Batch | None, epoch: int, step: int) -> None:
        images, labels = batch
        shard = self._weight_batches.shard(epoch, step)
        mixing = self.method.weight_mixing(batch, alpha_batch, self._shards(epoch, step))
        with devices.autocast(self.device, self.config.engine):
            logits = self.supernet(images, mixing)
            loss = cross_entropy(logits, labels)
        self._finite.check(loss, "the training loss", epoch, step)
        self._optimizer.zero_grad()
        shard.of(loss).backward()
        self._world.sum_gradients_(self._weights)
        clip = self.config.weights.grad_clip or math.inf
        self._weight_grad_norm = torch.nn.utils.clip_grad_norm_(self._weights, clip)
        self._finite.check(self._weight_grad_norm, "the weights' gradient", epoch, step)
        self._optimizer.step()
        if shard.counts:
            for meter in (self._scores.train, self._recent):
                meter.add(loss, logits, labels)

    def _shards(self, epoch: int, step: int) -> Shards:
        """This process's part of a step's alpha batch and weight batch."""
        return self._alpha_batches.shard(epoch, step), self._weight_batches.shard(epoch, step)

    def _weight_batch(self, epoch: int, step: int) -> Batch:
        return self._weight_batches.batch(epoch, step)

    def _alpha_batch(self, epoch: int, step: int) -> Batch:
        return self._alpha_batches.batch(epoch, step)

    # What there is to say -------------------------------------------------------------------------

    @property
    def network(self) -> RelaxedNetwork:
        """What is trained, as a training calls it."""
        return self.supernet

    def footprint(self) -> footprint.Footprint:
        """What a step will need of memory, in the largest stage."""
        batch, shape = self.config.data.batch_size, self._dataset.image_shape
        supernets = [self.supernet]
        # Which candidates will be left is not known yet: the last of each edge are the largest.
        for stage in self._plan[1:]:
            space = type(self.space)(self.config)
            most, edges = stage.candidates or 0, space.candidates().items()
            space.narrow({cell: [names[-most:] for names in lists] for cell, lists in edges})
            supernets.append(self._supernet_of(stage, space))
        found = [footprint.of_search(supernet, self.config, shape) for supernet in supernets]
        return max(found, key=lambda stage: stage.of(batch))

    def describe(self) -> dict[str, Any]:
        """The search's part of `RunStarted`."""
        images = {"weights": len(self._weight_part), "alpha": len(self._alpha_part)}
        return {
            "kind": "search",
            "method": self.config.search.method,
            "space": self.config.space.space,
            "parameters": sum(p.numel() for p in self._weights),
            "alpha_parameters": sum(a.numel() for a in self.supernet.alphas.parameters()),
            "images": images | {"test": len(self._dataset.test)},
            "cells": self.space.layout(),
            "schedules": self.schedules(),
        }

    def _schedule_values(self, epoch: int) -> dict[str, float]:
        weights, alpha = self.config.weights, self.config.alpha
        stage = staged.stage_of(self._plan, epoch)
        decay = self._ending.weight_decay(epoch)
        return {
            "lr_weights": cosine(weights.lr, weights.lr_min, epoch - stage.first, stage.epochs),
            "lr_alpha": alpha.lr if self._alpha_moves(epoch) else 0.0,
            **({} if decay is None else {"weight_decay": decay}),
            **self.method.schedule_values(epoch),
        }

    def _alpha_moves(self, epoch: int) -> bool:
        stage = staged.stage_of(self._plan, epoch)
        return epoch >= max(self.config.alpha_start, stage.first + stage.resting)

    def schedules(self) -> list[events.ScheduleSpan]:
        """What is planned for every epoch, as far as is known now."""
        return spans(self._schedule_values, self.epochs)

    def stopwatch(self) -> Stopwatch:
        """Times of the alpha step, the weight step, and fetching their batches."""
        return self._stopwatch

    def report(self, position: Position) -> list[events.Event]:
        """The step's losses; now and then the alphas too."""
        self._finite.settle()
        loss, top1, _ = self._recent.read()
        alpha_loss, _, _ = self._recent_alpha.read()
        self._recent.reset()
        self._recent_alpha.reset()
        said: list[events.Event] = [
            position.stamp(
                events.StepFinished,
                train_loss=loss,
                train_top1=top1,
                alpha_loss=alpha_loss,
            )
        ]
        # A matter of time, which ranks do not share; the check takes all of them.
        if self._world.of_rank_0(self._architecture.is_due()):
            said += self._sample(position, always_derive=False)
            said += shift_events(position, self.method.shift())
            if self.config.search.hvp_check and position.step:
                said.append(self._check_hvp(position))
        return said

    def _check_hvp(self, position: Position) -> events.HvpChecked:
        """How far the finite difference is off, at the step's batches and the weights after it."""
        place = (position.epoch, position.step)
        distance = self.method.distance(
            self._alpha_batch(*place), self._weight_batch(*place), self._shards(*place)
        )
        return position.stamp(
            events.HvpChecked,
            radius=self.config.search.hvp_radius,
            relative_distance=number(distance.product),
            gradient_distance=number(distance.gradient),
        )

    def _sample(self, position: Position, *, always_derive: bool) -> list[events.Event]:
        alphas, mixing = self.supernet.alphas.matrices(), self.method.strengths()
        return self._architecture.sample(position, alphas, mixing, always_derive=always_derive)

    def finish_epoch(self, position: Position, timing: Timing) -> list[events.Event]:
        """Validate on the alpha half; alphas, genotype, health and the epoch's figures."""
        self._finite.settle()
        self._world.agree_on_statistics_(self.supernet)
        self.supernet.eval()
        valid = self.validate()
        lines = self.method.decide(position.epoch)
        said = self._sample(position, always_derive=True) + shift_events(
            position, self.method.shift()
        )
        eigenvalue = self._eigenvalue(position)
        said += self._architecture.health(
            position,
            self.method.strengths(),
            alpha_grad_norm=self.method.grad_norm,
            weight_grad_norm=self._weight_grad_norm,
            eigenvalue=eigenvalue,
        )
        every = self.config.search.gap_every
        if every and (position.epoch % every == 0 or position.epoch == self.epochs):
            said.append(self._gap_now(position, valid))
        said += self._check_ending(position, eigenvalue)
        told = [events.LogWritten(level="info", message=line) for line in lines]
        return [*told, *said, self._scores.finish_epoch(position, timing, valid)]

    def measure_gap(self, position: Position) -> events.GapMeasured:
        """The discretisation gap now; nothing that a later step depends on changes."""
        self._finite.settle()
        self._world.agree_on_statistics_(self.supernet)
        return self._gap_now(position)

    def _gap_now(self, position: Position, whole: Figures | None = None) -> events.GapMeasured:
        genotype = self.space.derive(self.method.strengths())
        return self._gap.measure(position, genotype, self.method.validation_mixing(), whole)

    def _eigenvalue(self, position: Position) -> float | None:
        """The dominant eigenvalue at the epoch's last alpha batch, in the epochs that measure it.

        As in R-DARTS's code: one batch, the network in training mode, the weights constant. Running
        statistics stay as they are.
        """
        every = self.config.method.hessian_every
        if not every or (position.epoch % every and position.epoch != self.epochs):
            return None
        draws = streams.generator(self.config.engine.seed, "eigenvalue", position.epoch)
        with self.alpha_loss(position) as loss:
            found = Curvature(loss, list(self.supernet.alphas.parameters())).dominant(draws)
        # Rules act on it, and all ranks have to do the same.
        return self._world.number_of_rank_0(found)

    @contextmanager
    def alpha_loss(self, position: Position) -> Iterator[Callable[[], Tensor]]:
        """The loss of a step's alpha batch as alpha is then, the network in training mode.

        The weights are constant, and running statistics stay as they are.
        """
        batch = self._alpha_batch(position.epoch, position.step)
        self.supernet.train()
        with statistics_kept(self.supernet), self.method.architect.weights_frozen():
            yield lambda: self.method.valid_loss(batch)
        self.supernet.eval()

    def validate(self, most: int = 0) -> Figures:
        """Loss and accuracies on the alpha half, or on its first `most` images, as alpha is now."""
        part = self._alpha_part
        if 0 < most < len(part):
            part = part.take(torch.arange(most))
        self.supernet.eval()
        return evaluate(part, self._augment, self.predict)

    def _check_ending(self, position: Position, eigenvalue: float | None) -> list[events.Event]:
        mixing = self.method.strengths()
        rankings = {cell: w.argmax(-1).tolist() for cell, w in mixing.items()}
        evidence = EpochEvidence(position.epoch, eigenvalue, self.space.derive(mixing), rankings)
        return self._ending.check(position, evidence, self._architecture.entropies(mixing))

    @property
    def rollback(self) -> Verdict | None:
        """Where the epoch that just ended sends the search back to, if it does."""
        return self._ending.rollback

    def may_return_to(self, epoch: int) -> Sequence[int]:
        """The epochs up to `epoch`, which is done, whose ends later turns may name."""
        return self._ending.may_return_to(epoch)

    def roll_back(self, state: dict[str, Any], position: Position) -> list[events.Event]:
        """Become what `state` was taken of at `position`, but with more weight decay from there."""
        self._load_search(state)
        self._recent.reset()
        self._recent_alpha.reset()
        return self._ending.roll_back(state, position)

    @property
    def is_over(self) -> bool:
        """Whether the stop rule ended the search at the last epoch's end."""
        return self._ending.verdict is not None

    def predict(self, images: Tensor) -> Tensor:
        """Logits at the clean mixing weights, whatever the method shows the weights."""
        return self._logits(images, self.method.validation_mixing())

    def _logits(self, images: Tensor, mixing: Mixing) -> Tensor:
        with devices.autocast(self.device, self.config.engine):
            logits: Tensor = self.supernet(images, mixing)
        return logits

    def checkpoint_reason(self) -> str:
        """A search keeps its newest checkpoints; no epoch of it is best."""
        return "epoch"

    def finish(self, seconds: float) -> events.RunFinished:
        """The genotype, and how well the supernet did."""
        now = self.space.derive(self.method.strengths())
        return self._scores.finish(seconds, self._ending.result(now))

    # What a checkpoint holds ----------------------------------------------------------------------

    def identity(self) -> dict[str, str]:
        """What a checkpoint must share with a run to be its own."""
        space = self.config.space
        return {
            "kind": "search",
            "method": self.config.search.method,
            "space": f"{space.space} C={space.channels} L={space.layers} N={space.nodes}",
            "data": f"{self._dataset.name} {self._dataset.image_shape}",
            # A position in an epoch means nothing in another order of the images.
            "data order": f"batch {self.config.data.batch_size} seed {self.config.engine.seed}",
        }

    def state(self) -> dict[str, Any]:
        """Everything the next step depends on; random streams need no memory.

        Raises:
            NotFiniteError: there is nothing worth saving.
        """
        self._finite.settle()
        self._world.agree_on_statistics_(self.supernet)
        return {
            "stage": self._stage.number,
            "candidates": self.space.candidates(),
            "supernet": self.supernet.state_dict(),
            "weight_optimizer": self._optimizer.state_dict(),
            "method": self.method.state(),
            **self._ending.state(),
            "architecture": self._architecture.state(),
            **self._scores.state(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self._load_search(state)
        self._ending.load_state(state)

    def _load_search(self, state: dict[str, Any]) -> None:
        if state["stage"] != self._stage.number:
            self.space.narrow(state["candidates"])
            self._enter(self._plan[state["stage"]])
        self.supernet.load_state_dict(state["supernet"])
        self._optimizer.load_state_dict(state["weight_optimizer"])
        self.method.load_state(state["method"])
        self._architecture.load_state(state["architecture"])
        self._scores.load_state(state)
