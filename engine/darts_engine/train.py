"""Training of a derived network from scratch, on the whole training part.

Liu et al., DARTS, 2019, arXiv 1806.09055, section 3.2: cosine learning rate, auxiliary head, drop
path that grows linearly, cutout. Validation is after every epoch, on the test part or on training
images that are held out (`train.valid_fraction`).
"""

import math
from typing import Any

import torch
from torch import Tensor

from darts_engine import device as devices
from darts_engine import streams
from darts_engine.architecture import number
from darts_engine.checkpoint import Position
from darts_engine.data.augment import Augmentation
from darts_engine.data.batches import Batches
from darts_engine.data.dataset import Dataset, hold_out
from darts_engine.inputs import Inputs
from darts_engine.loop import Timing
from darts_engine.meter import FiniteGuard, Meter, cross_entropy
from darts_engine.network import Network
from darts_engine.optim.schedules import cosine, ramp
from darts_engine.run import events
from darts_engine.run import genotype as genotypes
from darts_engine.run.config import TrainConfig
from darts_engine.scores import Scores, evaluate
from darts_engine.stopwatch import Stopwatch


def network_of(config: TrainConfig, in_channels: int, classes: int) -> Network:
    """The network that a config asks for, as it is before its first step.

    Raises:
        GenotypeError: the genotype cannot be read or built.
    """
    return Network(
        genotypes.parse(config.network.genotype),
        channels=config.network.channels,
        layers=config.network.layers,
        in_channels=in_channels,
        classes=classes,
        stem=config.network.stem,
        auxiliary=config.network.auxiliary,
        seed=config.engine.seed,
    )


class Train:
    """A derived network, its optimizer, and the data set.

    Args:
        config: what was asked; its genotype is text.
        dataset: train and test part.
        device: where it computes.

    Raises:
        GenotypeError: the genotype cannot be read or built.
    """

    def __init__(self, config: TrainConfig, dataset: Dataset, device: torch.device) -> None:
        self.config, self.device = config, device
        self.epochs = config.train.epochs
        seed, batch = config.engine.seed, config.data.batch_size
        self.genotype = genotypes.parse(config.network.genotype)
        self._valid_name = "test"
        if config.train.valid_fraction:
            dataset = hold_out(dataset, config.train.valid_fraction, seed)
            self._valid_name = "valid"
        self._dataset = dataset
        self._train, self._test = dataset.train.to(device), dataset.test.to(device)
        self._augment = Augmentation.of(config.data, dataset, device)
        self._batches = Batches(self._train, self._augment, batch, seed, "train")
        self.steps_per_epoch = self._batches.steps

        self.network = network_of(config, dataset.image_shape[0], len(dataset.classes))
        devices.place(self.network, device)
        self._weights = list(self.network.parameters())
        self._optimizer = torch.optim.SGD(
            self._weights,
            lr=config.weights.lr,
            momentum=config.weights.momentum,
            weight_decay=config.weights.weight_decay,
        )
        self._finite = FiniteGuard(device)
        self._scores, self._recent = Scores(device), Meter(device)
        self._auxiliary_meter = Meter(device)
        self._grad_norm = torch.zeros((), device=device)
        self._stopwatch = Stopwatch()

    # The step -------------------------------------------------------------------------------------

    def opening(self, _position: Position) -> list[events.Event]:
        """A training has nothing to say before its first step."""
        return []

    def begin_epoch(self, epoch: int) -> dict[str, float]:
        """Set learning rate and drop path; the schedules' values."""
        values = self._schedule_values(epoch)
        for group in self._optimizer.param_groups:
            group["lr"] = values["lr_weights"]
        self.network.drop_path.prob = values["drop_path"]
        return values

    def step(self, epoch: int, step: int) -> int:
        """One step of gradient descent on the loss and the auxiliary head's; its images."""
        self.network.train()
        seed = self.config.engine.seed
        with self._stopwatch.part("data"):
            images, labels = self._batches.batch(epoch, step)
        with self._stopwatch.part("weights"):
            self.network.drop_path.draws = streams.generator(
                seed, "drop path", epoch, step, self.device
            )
            self._weight_step(images, labels, epoch, step)
        return len(labels)

    def _weight_step(self, images: Tensor, labels: Tensor, epoch: int, step: int) -> None:
        with devices.autocast(self.device, self.config.engine):
            logits, auxiliary = self.network(images)
            loss = cross_entropy(logits, labels)
            total = loss
            if auxiliary is not None:
                auxiliary_loss = cross_entropy(auxiliary, labels)
                total = loss + self.config.network.auxiliary_weight * auxiliary_loss
                self._auxiliary_meter.add(auxiliary_loss, auxiliary, labels)
        self._finite.check(total, "the training loss", epoch, step)
        self._optimizer.zero_grad()
        total.backward()
        clip = self.config.weights.grad_clip or math.inf
        self._grad_norm = torch.nn.utils.clip_grad_norm_(self._weights, clip)
        self._finite.check(self._grad_norm, "the weights' gradient", epoch, step)
        self._optimizer.step()
        for meter in (self._scores.train, self._recent):
            meter.add(loss, logits, labels)

    # What there is to say -------------------------------------------------------------------------

    def describe(self) -> dict[str, Any]:
        """The training's part of `RunStarted`."""
        return {
            "kind": "train",
            "parameters": sum(p.numel() for p in self._weights),
            "images": {"train": len(self._train), self._valid_name: len(self._test)},
            "schedules": self._schedules(),
            "genotype": self.genotype,
        }

    def _schedule_values(self, epoch: int) -> dict[str, float]:
        weights, network = self.config.weights, self.config.network
        return {
            "lr_weights": cosine(weights.lr, weights.lr_min, epoch - 1, self.epochs),
            "drop_path": ramp(network.drop_path, epoch - 1, self.epochs),
        }

    def _schedules(self) -> list[events.ScheduleSpan]:
        labels = {"lr_weights": "lr", "drop_path": "drop path"}
        by_epoch = [self._schedule_values(epoch) for epoch in range(1, self.epochs + 1)]
        return [
            events.ScheduleSpan(name=name, label=label, values=[v[name] for v in by_epoch])
            for name, label in labels.items()
        ]

    def stopwatch(self) -> Stopwatch:
        """Times of the weight step and of fetching its batch."""
        return self._stopwatch

    def report(self, position: Position) -> list[events.Event]:
        """The mean loss of the steps since the last report."""
        self._finite.settle()
        loss, top1, _ = self._recent.read()
        self._recent.reset()
        return [
            events.StepFinished(
                epoch=position.epoch,
                step=position.step,
                global_step=position.global_step,
                train_loss=loss,
                train_top1=top1,
            )
        ]

    def finish_epoch(self, position: Position, timing: Timing) -> list[events.Event]:
        """Validate on the test part; health and the epoch's figures."""
        self._finite.settle()
        auxiliary_loss, _, _ = self._auxiliary_meter.read()
        self._auxiliary_meter.reset()
        self.network.eval()
        valid = evaluate(self._test, self._augment, self._predict)
        health = events.HealthMeasured(
            epoch=position.epoch,
            global_step=position.global_step,
            weight_grad_norm=number(self._grad_norm),
        )
        return [health, self._scores.finish_epoch(position, timing, valid, auxiliary_loss)]

    def _predict(self, images: Tensor) -> Tensor:
        with devices.autocast(self.device, self.config.engine):
            logits: Tensor = self.network(images)[0]
        return logits

    def checkpoint_reason(self) -> str:
        """The best epoch's checkpoint is kept beside the newest ones."""
        return "best" if self._scores.is_best else "epoch"

    def finish(self, seconds: float) -> events.RunFinished:
        """The last and the best test accuracy."""
        return self._scores.finish(seconds, self.genotype)

    # What a checkpoint holds ----------------------------------------------------------------------

    def identity(self) -> dict[str, str]:
        """What a checkpoint must share with a run to be its own."""
        network, held_out = self.config.network, self.config.train.valid_fraction
        return {
            "kind": "train",
            "network": f"{network.stem} C={network.channels} L={network.layers}",
            "genotype": self.genotype.text(),
            "data": f"{self._dataset.name} {self._dataset.image_shape}"
            + (f" held out {held_out}" if held_out else ""),
            # A position in an epoch means nothing in another order of the images.
            "data order": f"batch {self.config.data.batch_size} seed {self.config.engine.seed}",
        }

    def state(self) -> dict[str, Any]:
        """Everything the next step depends on; random streams need no memory.

        Raises:
            NotFiniteError: there is nothing worth saving.
        """
        self._finite.settle()
        return {
            "network": self.network.state_dict(),
            "weight_optimizer": self._optimizer.state_dict(),
            "auxiliary_meter": self._auxiliary_meter.state(),
            "inputs": Inputs.of(self._dataset, self._augment).state(),
            **self._scores.state(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.network.load_state_dict(state["network"])
        self._optimizer.load_state_dict(state["weight_optimizer"])
        self._auxiliary_meter.load_state(state["auxiliary_meter"])
        self._scores.load_state(state)
