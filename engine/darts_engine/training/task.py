"""Training of a network from scratch: the derived network of a genotype, or a wide ResNet.

Liu et al., DARTS, 2019, arXiv 1806.09055, section 3.2: cosine learning rate, auxiliary head, drop
path that grows linearly, cutout. What other recipes add is in `optim/`. Every epoch is validated on
the data set's validation part, or on training images that are held out (`train.valid_fraction`).
A test part beside a validation part is looked at once, at the end; without such, epochs are scored
on it. Shapes: B batch, C channels, H W space.
"""

import math
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from darts_engine.compute import device as devices
from darts_engine.compute import parallel, streams
from darts_engine.data.batches import Batches, augmentation
from darts_engine.data.dataset import Dataset, hold_out
from darts_engine.layers.norm import statistics_kept
from darts_engine.layers.sync_norm import synchronise
from darts_engine.memory import footprint
from darts_engine.networks import build as networks
from darts_engine.networks import official_state
from darts_engine.networks.derived import Network
from darts_engine.optim.average import MovingAverage
from darts_engine.optim.loss import smoothed_cross_entropy, smoothed_divergence
from darts_engine.optim.sam import perturbed
from darts_engine.optim.schedules import learning_rate, ramp, spans
from darts_engine.optim.sgd import sgd
from darts_engine.run import events
from darts_engine.run.architecture.networks import GENOTYPE
from darts_engine.run.architecture.text import parse
from darts_engine.run.settings.config import TrainConfig
from darts_engine.runner.loop import Timing
from darts_engine.runner.meter import FiniteGuard, Mean, Meter, number
from darts_engine.runner.position import Position
from darts_engine.runner.scores import Figures, Scores, about, evaluate
from darts_engine.runner.stopwatch import Stopwatch
from darts_engine.training.inputs import Inputs


class Pass(NamedTuple):
    """The result of a forward pass.

    Attributes:
        total: the loss that is minimised, a scalar.
        loss: the main head's part of it, a scalar.
        logits: (B, classes).
        auxiliary: the auxiliary head's loss and logits, where there is one.
    """

    total: Tensor
    loss: Tensor
    logits: Tensor
    auxiliary: tuple[Tensor, Tensor] | None = None


class Train:
    """A network, its optimizer, and the data set.

    Args:
        config: of the run; its genotype is text.
        dataset: train and test part.
        device: where the network computes.

    Attributes:
        genotype: of the derived network; None for other networks.
        network: what is trained.
        has_test: whether there is a test part beside the one that epochs are scored on.

    Raises:
        GenotypeError: the genotype cannot be read or built; correct `network.genotype`.
    """

    unit = "images"

    def __init__(self, config: TrainConfig, dataset: Dataset, device: torch.device) -> None:
        self.config, self.device = config, device
        self.epochs = config.train.epochs
        seed, batch = config.engine.seed, config.data.batch_size
        is_derived = config.network.network == GENOTYPE
        self.genotype = parse(config.network.genotype) if is_derived else None
        if config.train.valid_fraction:
            dataset = hold_out(dataset, config.train.valid_fraction, seed)
        self._dataset = dataset
        self._train, self._test = dataset.train.to(device), dataset.scored.to(device)
        self.has_test = dataset.valid is not None and dataset.test is not None
        self._augment = augmentation(config.data, dataset, device)
        self._world, self._shard = parallel.world(), parallel.WHOLE
        least = 1 if config.engine.sync_bn else parallel.LEAST
        self._batches = Batches(self._train, self._augment, batch, seed, "train", least=least)
        self.steps_per_epoch = self._batches.steps

        self.network = networks.build(
            config.network,
            in_channels=dataset.image_shape[0],
            classes=len(dataset.classes),
            seed=seed,
        )
        devices.place(self.network, device, channels_last=config.engine.channels_last)
        self._average: MovingAverage | None = None
        if config.weights.ema:
            self._average = MovingAverage(self.network, config.weights.ema)
        if config.engine.sync_bn:
            synchronise(self.network, self._world)
        self._weights = list(self.network.parameters())
        self._optimizer = sgd(self._weights, config.weights)
        self._finite = FiniteGuard(device)
        self._scores, self._recent = Scores(device), Meter(device)
        self._auxiliary_meter, self._perturbed_meter = Meter(device), Meter(device)
        self._grad_norm = torch.zeros((), device=device)
        self._stopwatch = Stopwatch()

    # The step -------------------------------------------------------------------------------------

    def opening(self, position: Position) -> list[events.Event]:
        """What the data set has; loads the weights of `network.weights`, if the run is new.

        Raises:
            CheckpointError: they are of another network; name another file.
        """
        data = about(self._dataset.found(), self._dataset.thin_classes(), position)
        file = self.config.network.weights
        if not file or position.global_step:
            return data
        how = official_state.load_file(self.network, Path(file))
        if self._average:
            self._average.restart(self.network)
        message = f"starts from the weights in {file}{f' ({how})' if how else ''}"
        return [*data, events.LogWritten(level="info", message=message)]

    def steps_of(self, epoch: int) -> int:  # noqa: ARG002  all epochs have as many
        """Steps of an epoch, from 1."""
        return self.steps_per_epoch

    def begin_epoch(self, epoch: int) -> dict[str, float]:
        """Set learning rate and drop path of an epoch (from 1). Returns: the schedules' values."""
        values = self._schedule_values(epoch)
        for group in self._optimizer.param_groups:
            group["lr"] = values["lr_weights"]
        if isinstance(self.network, Network):
            self.network.drop_path.prob = values["drop_path"]
        return values

    def step(self, epoch: int, step: int) -> int:
        """One step of gradient descent on the loss of both heads.

        Args:
            epoch: from 1.
            step: of the epoch, from 1.

        Returns:
            Images in the batch.

        Raises:
            NotFiniteError: a loss or gradient is not finite (on a GPU it is raised later).
        """
        self.network.train()
        with self._stopwatch.part("data"):
            images, labels = self._batches.batch(epoch, step)
            self._shard = self._batches.shard(epoch, step)
        with self._stopwatch.part("weights"):
            self._weight_step(images, labels, epoch, step)
        return self._batches.images(epoch, step)

    def _weight_step(self, images: Tensor, labels: Tensor, epoch: int, step: int) -> None:
        here = self._forward(images, labels, epoch, step)
        self._finite.check(here.total, "the training loss", epoch, step)
        self._backward(here)
        if self.config.weights.sam_rho:
            self._climb(images, labels, epoch, step)
        clip = self.config.weights.grad_clip or math.inf
        self._grad_norm = torch.nn.utils.clip_grad_norm_(self._weights, clip)
        self._finite.check(self._grad_norm, "the weights' gradient", epoch, step)
        self._optimizer.step()
        if self._average:
            self._average.update(self.network, (epoch - 1) * self.steps_per_epoch + step)
        if not self._shard.counts:
            return
        for meter in (self._scores.train, self._recent):
            meter.add(here.loss, here.logits, labels)
        if here.auxiliary:
            self._auxiliary_meter.add(*here.auxiliary, labels)

    def _forward(self, images: Tensor, labels: Tensor, epoch: int, step: int) -> Pass:
        """A forward pass. All passes of a step drop the same paths: they are of one function."""
        seed = self.config.engine.seed
        self.network.masks.shard = self._shard
        self.network.masks.draws = streams.generator(seed, "drop path", epoch, step, self.device)
        with devices.autocast(self.device, self.config.engine):
            logits, auxiliary = self.network(images)
        loss = self._loss(logits, labels)
        if auxiliary is None:
            return Pass(loss, loss, logits)
        auxiliary_loss = self._loss(auxiliary, labels)
        total = loss + self.config.network.auxiliary_weight * auxiliary_loss
        return Pass(total, loss, logits, (auxiliary_loss, auxiliary))

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        train = self.config.train
        return smoothed_cross_entropy(logits, labels, train.label_smoothing, train.smoothing)

    def _backward(self, forward: Pass) -> None:
        """Set the gradients to those of a pass, summed over all ranks."""
        self._optimizer.zero_grad()
        self._shard.of(forward.total).backward()
        self._world.sum_gradients_(self._weights)

    def _climb(self, images: Tensor, labels: Tensor, epoch: int, step: int) -> None:
        """Sharpness-aware minimisation: replace the gradient by that at the perturbed weights.

        DEVIATION: the code published with the CIFAR-100 figures intends to keep batch norm's
        running statistics out of this pass, and does not: it tests the type of the network, not of
        its layers. Half of what they average is then of the perturbed weights. It also draws other
        dropout masks here, so that the two gradients are of different functions.
        """
        weights = self.config.weights
        uphill = perturbed(self._weights, weights.sam_rho, adaptive=weights.sam_adaptive)
        with uphill, statistics_kept(self.network):
            there = self._forward(images, labels, epoch, step)
            self._finite.check(there.total, "the loss at the perturbed weights", epoch, step)
            self._backward(there)
        if self._shard.counts:
            self._perturbed_meter.add(there.loss, there.logits, labels)

    # Events ---------------------------------------------------------------------------------------

    def footprint(self) -> footprint.Footprint:
        """The memory that a step needs."""
        return footprint.of_training(self.network, self.config, self._dataset.image_shape)

    def describe(self) -> dict[str, Any]:
        """The fields of `RunStarted` that only the training knows."""
        return {
            "kind": "train",
            "parameters": sum(p.numel() for p in self._weights),
            "images": {name: len(part) for name, part in self._dataset.parts.items()},
            "schedules": spans(self._schedule_values, self.epochs),
            "genotype": self.genotype,
        }

    def _schedule_values(self, epoch: int) -> dict[str, float]:
        values = {"lr_weights": learning_rate(self.config.weights, epoch - 1, self.epochs)}
        if self.genotype:
            values["drop_path"] = ramp(self.config.network.drop_path, epoch - 1, self.epochs)
        return values

    def stopwatch(self) -> Stopwatch:
        """Times of the weight step and of fetching its batch."""
        return self._stopwatch

    def report(self, position: Position) -> list[events.Event]:
        """The mean loss and accuracy of the steps since the last report."""
        self._finite.settle()
        loss, top1, _ = self._recent.read()
        self._recent.reset()
        return [position.stamp(events.StepFinished, train_loss=loss, train_top1=top1)]

    def finish_epoch(self, position: Position, timing: Timing) -> list[events.Event]:
        """Validate. Returns: the events about the epoch's health and figures."""
        self._finite.settle()
        auxiliary_loss, _, _ = self._auxiliary_meter.read()
        self._auxiliary_meter.reset()
        sharpness_gap = self._sharpness_gap()
        self._agree_on_statistics()
        self.network.eval()
        valid, divergence = self._validate()
        health = position.stamp(
            events.HealthMeasured,
            weight_grad_norm=number(self._grad_norm),
            sharpness_gap=sharpness_gap,
        )
        finished = self._scores.finish_epoch(position, timing, valid, auxiliary_loss, divergence)
        return [health, finished]

    def _validate(self) -> tuple[Figures, float | None]:
        """Figures of plain targets, and the divergence from the smoothed ones if labels are."""
        eps, kind = self.config.train.label_smoothing, self.config.train.smoothing
        if not eps:
            return evaluate(self._test, self._augment, self._predict), None
        mean = Mean(self.device)

        def add(logits: Tensor, labels: Tensor) -> None:
            mean.add(smoothed_divergence(logits, labels, eps, kind), len(labels))

        return evaluate(self._test, self._augment, self._predict, add), mean.read()

    def _sharpness_gap(self) -> float | None:
        """Mean loss over the epoch at the perturbed weights minus that at the weights, nats."""
        here, there = self._scores.train.read()[0], self._perturbed_meter.read()[0]
        self._perturbed_meter.reset()
        return None if here is None or there is None else round(there - here, 6)

    def _agree_on_statistics(self) -> None:
        self._world.agree_on_statistics_(self.network)
        if self._average:
            self._world.agree_on_statistics_(self._average.network)

    def _predict(self, images: Tensor) -> Tensor:
        network = self._average.network if self._average else self.network
        with devices.autocast(self.device, self.config.engine):
            logits: Tensor = network(images)[0]
        return logits

    @property
    def is_over(self) -> bool:
        """Never: a training goes on to its last epoch."""
        return False

    def checkpoint_reason(self) -> str:
        """Whether the epoch is the best so far. Its checkpoint is kept beside the newest ones."""
        return "best" if self._scores.is_best else "epoch"

    def finish(self, seconds: float) -> events.RunFinished:
        """The run's last event: the last and the best validation accuracy."""
        return self._scores.finish(seconds, self.genotype)

    def look_at_test(self, best: dict[str, Any] | None) -> events.TestMeasured:
        """Score the test part, with the weights of the best epoch's `state` if it is given."""
        assert self._dataset.test is not None
        network = self._average.network if self._average else self.network
        kept = {name: value.clone() for name, value in network.state_dict().items()}
        if best:
            network.load_state_dict(best.get("average" if self._average else "network", kept))
        network.eval()
        part = self._dataset.test.to(self.device)
        loss, top1, top5 = evaluate(part, self._augment, self._predict)
        network.load_state_dict(kept)
        return events.TestMeasured(
            epoch=best["best"][1] if best else None,
            images=len(part),
            test_loss=loss,
            test_top1=top1,
            test_top5=top5,
        )

    # Checkpoints ----------------------------------------------------------------------------------

    def identity(self) -> dict[str, str]:
        """What a checkpoint and a run must have in common."""
        network, held_out = self.config.network, self.config.train.valid_fraction
        derived = f"{network.stem} C={network.channels} L={network.layers}"
        return {
            "kind": "train",
            "network": derived if self.genotype else network.network,
            "genotype": self.genotype.text() if self.genotype else "",
            "data": f"{self._dataset.name} {self._dataset.image_shape}"
            + (f" held out {held_out}" if held_out else "")
            # Earlier versions scored such a set's epochs on the test part.
            + (" validated on its own part" if self.has_test else ""),
            # A position in an epoch means nothing in another order of the images.
            "data order": f"batch {self.config.data.batch_size} seed {self.config.engine.seed}",
        }

    def state(self) -> dict[str, Any]:
        """Everything the next step depends on; random streams have no state.

        Raises:
            NotFiniteError: a loss was not finite, so the state is not worth saving.
        """
        self._finite.settle()
        state = {
            "network": self._world.state_of(self.network),
            "weight_optimizer": self._optimizer.state_dict(),
            "auxiliary_meter": self._auxiliary_meter.state(),
            "inputs": Inputs.of(self._dataset, self._augment).state(),
            **self._scores.state(),
        }
        if self.config.weights.sam_rho:
            state["perturbed_meter"] = self._perturbed_meter.state()
        if self._average:
            state["average"] = self._world.state_of(self._average.network)
        if self._world.size > 1:
            each = self._world.statistics_of_each_rank
            state["statistics"] = each(self.network)
            if self._average:
                state["average_statistics"] = each(self._average.network)
        return state

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.network.load_state_dict(state["network"])
        self._world.take_own_statistics_(self.network, state.get("statistics", {}))
        self._optimizer.load_state_dict(state["weight_optimizer"])
        self._auxiliary_meter.load_state(state["auxiliary_meter"])
        self._scores.load_state(state)
        # The config may have been edited since: what it adds starts here.
        if "perturbed_meter" in state:
            self._perturbed_meter.load_state(state["perturbed_meter"])
        if self._average:
            average = self._average.network
            average.load_state_dict(state.get("average", state["network"]))
            self._world.take_own_statistics_(average, state.get("average_statistics", {}))
