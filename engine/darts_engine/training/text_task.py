"""Training of a recurrent cell from scratch, on text.

Liu et al., DARTS, 2019, arXiv 1806.09055, section 3.2 and appendix A.4, with the training of Merity
et al., 2017, arXiv 1708.02182: SGD, and from the epoch on in which the validation loss stops to
fall, averages of its weights (`optim/averaged_sgd.py`). The text is read in columns, and the hidden
state goes on from step to step. Shapes: T rows of text, B columns, V tokens, n width.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from darts_engine.compute import device as devices
from darts_engine.compute import streams
from darts_engine.data.text.columns import window
from darts_engine.data.text.corpus import Corpus
from darts_engine.data.text.lengths import Window, mean_steps, windows
from darts_engine.memory import text as memory
from darts_engine.memory.footprint import Footprint
from darts_engine.networks import build as networks
from darts_engine.networks import official_state
from darts_engine.optim.averaged_sgd import NonMonotone, WeightMean
from darts_engine.optim.schedules import learning_rate, spans
from darts_engine.optim.sgd import sgd
from darts_engine.optim.text_loss import activation, negative_log_likelihood, slowness
from darts_engine.run import events
from darts_engine.run.architecture.text import parse
from darts_engine.run.errors import NotFiniteError
from darts_engine.run.settings.config import TrainConfig
from darts_engine.runner.loop import Timing
from darts_engine.runner.meter import FiniteGuard, Mean, number
from darts_engine.runner.position import Position
from darts_engine.runner.stopwatch import Stopwatch
from darts_engine.runner.text_scores import TextScores, mean_loss
from darts_engine.training.going_back import GoingBack, Rollback
from darts_engine.training.text_inputs import TextInputs


class TrainText:
    """A recurrent network, its optimizer, and the text.

    Args:
        config: of the run; its genotype is text.
        corpus: train and valid part; the test part is never read.
        device: where the network computes.

    Attributes:
        genotype: of the cell.
        network: what is trained.
        steps_per_epoch: the mean number; windows have random lengths.

    Raises:
        GenotypeError: the genotype cannot be read or built; correct `network.genotype`.
        DataError: the text is too short for its columns.
    """

    unit = "tokens"

    def __init__(self, config: TrainConfig, corpus: Corpus, device: torch.device) -> None:
        self.config, self.device = config, device
        self.epochs = config.train.epochs
        self._corpus = corpus
        self._train = corpus.columns("train", config.data.batch_size).to(device)
        self._valid = corpus.columns("valid", config.text.eval_batch).to(device)
        text = config.text
        self.steps_per_epoch = mean_steps(len(self._train), text.bptt, jitter=text.length_jitter)
        self.network = networks.build_recurrent(config, len(corpus.tokens)).to(device)
        self.genotype = parse(config.network.genotype)
        self._weights = list(self.network.parameters())
        self._optimizer = sgd(self._weights, config.weights)
        self._rule, self._mean = NonMonotone(text.nonmono), WeightMean(self._weights)
        # The first epoch with averages, once it is known.
        self._averages_from: int | None = None
        self._going_back = GoingBack()
        self._hidden = self._first_hidden(self._train)
        self._windows: tuple[int, int, list[Window]] = (0, 0, [])
        self._finite = FiniteGuard(device)
        self._scores, self._recent = TextScores(device), Mean(device)
        self._grad_norm = torch.zeros((), device=device)
        self._stopwatch = Stopwatch()

    # The step -------------------------------------------------------------------------------------

    def opening(self, position: Position) -> list[events.Event]:
        """Load the weights of `network.weights`, if it is set and the run is new.

        Raises:
            CheckpointError: they are of another network; name another file.
        """
        file = self.config.network.weights
        if not file or position.global_step:
            return []
        official_state.load_file(self.network, Path(file))
        return [events.LogWritten(level="info", message=f"starts from the weights in {file}")]

    def steps_of(self, epoch: int) -> int:
        """Steps of an epoch, from 1."""
        return len(self._windows_of(epoch))

    def _windows_of(self, epoch: int) -> list[Window]:
        known = (epoch, self._going_back.tries)
        if self._windows[:2] != known:
            text = self.config.text
            found = windows(
                len(self._train),
                text.bptt,
                seed=self.config.engine.seed,
                purpose=self._going_back.purpose("train"),
                epoch=epoch,
                jitter=text.length_jitter,
            )
            self._windows = (*known, found)
        return self._windows[2]

    def begin_epoch(self, epoch: int) -> dict[str, float]:
        """The schedules' values in an epoch (from 1)."""
        return self._schedule_values(epoch)

    def step(self, epoch: int, step: int) -> int:
        """One step of gradient descent on a window of the text.

        Args:
            epoch: from 1.
            step: of the epoch, from 1. The hidden state before the first is zero.

        Returns:
            Tokens that were predicted.

        Raises:
            NotFiniteError: a loss or gradient is not finite (on a GPU it is raised later).
        """
        self.network.train()
        if step == 1:
            self._hidden = self._first_hidden(self._train)
        with self._stopwatch.part("data"):
            here = self._windows_of(epoch)[step - 1]
            inputs, targets = window(self._train, here.start, here.length)
        with self._stopwatch.part("weights"):
            self._weight_step(inputs, targets, here, epoch, step)
        return targets.numel()

    def _weight_step(
        self, inputs: Tensor, targets: Tensor, here: Window, epoch: int, step: int
    ) -> None:
        weights, text = self.config.weights, self.config.text
        purpose = self._going_back.purpose("dropout")
        self.network.masks.draws = streams.generator(
            self.config.engine.seed, purpose, epoch, step, self.device
        )
        with devices.autocast(self.device, self.config.engine):
            reading = self.network.read(inputs, self._hidden)
        loss = negative_log_likelihood(reading.log_probabilities, targets)
        total = loss
        if text.activation_reg:
            total = total + text.activation_reg * activation(reading.dropped)
        if text.slowness:
            total = total + text.slowness * slowness(reading.states)
        self._finite.check(total, "the training loss", epoch, step)
        self._optimizer.zero_grad()
        total.backward()
        clip = weights.grad_clip or math.inf
        self._grad_norm = torch.nn.utils.clip_grad_norm_(self._weights, clip)
        self._finite.check(self._grad_norm, "the weights' gradient", epoch, step)
        # A longer window has a gradient of more tokens, which has less noise.
        # DEVIATION: torch's averaged SGD, as the official code calls it, takes the rate of the step
        # before, because it works the next one out after each step.
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate(epoch) * here.drawn / text.bptt
        self._optimizer.step()
        self._mean.update()
        self._hidden = reading.hidden.detach()
        for mean in (self._scores.train, self._recent):
            mean.add(loss, targets.numel())

    def _first_hidden(self, columns: Tensor) -> Tensor:
        return self.network.first_hidden(columns.shape[1])

    # Events ---------------------------------------------------------------------------------------

    def footprint(self) -> Footprint:
        """The memory that a step needs."""
        return memory.of_training(self.network, self.config)

    def describe(self) -> dict[str, Any]:
        """The fields of `RunStarted` that only the training knows."""
        corpus = self._corpus
        parts = {"train": corpus.train, "valid": corpus.valid, "test": corpus.test}
        return {
            "kind": "train",
            "parameters": sum(p.numel() for p in self._weights),
            "images": {name: len(ids) for name, ids in parts.items()},
            "schedules": self.schedules(),
            "genotype": self.genotype,
        }

    def schedules(self) -> list[events.ScheduleSpan]:
        """The values of every epoch, as far as they are known now."""
        return spans(self._schedule_values, self.epochs)

    def _schedule_values(self, epoch: int) -> dict[str, float]:
        averages = self._averages_from is not None and epoch >= self._averages_from
        return {
            "lr_weights": self._rate(epoch),
            "length": float(self.config.text.bptt),
            "averaging": float(averages),
        }

    def _rate(self, epoch: int) -> float:
        """The learning rate of a window of the base length."""
        return learning_rate(self.config.weights, epoch - 1, self.epochs)

    def stopwatch(self) -> Stopwatch:
        """Times of the weight step and of fetching its window."""
        return self._stopwatch

    def report(self, position: Position) -> list[events.Event]:
        """The mean loss per token of the steps since the last report."""
        self._finite.settle()
        loss = self._recent.read()
        self._recent.reset()
        return [position.stamp(events.StepFinished, train_loss=loss)]

    def finish_epoch(self, position: Position, timing: Timing) -> list[events.Event]:
        """Validate, and begin to average if the loss has stopped to fall.

        Returns:
            The events about the epoch's health and figures.

        Raises:
            NotFiniteError: a loss or gradient, or the validation loss, is not finite.
        """
        self._finite.settle()
        valid_loss = self._validate()
        if valid_loss is None:
            raise NotFiniteError(
                "the validation loss is not a finite number",
                where=f"the end of epoch {position.epoch}",
                remedy="lower --lr; 'resume' goes on from the last good checkpoint",
            )
        health = position.stamp(
            events.HealthMeasured,
            weight_grad_norm=number(self._grad_norm),
            hidden_norm=number(self._hidden.float().norm(dim=1).mean()),
        )
        finished = self._scores.finish_epoch(position, timing, valid_loss)
        if self._scores.is_best:
            self._going_back.tries = 0
        return [health, finished, *self._switch(valid_loss, position.epoch)]

    def _switch(self, valid_loss: float, epoch: int) -> list[events.Event]:
        """Begin to average where the rule tells so, which it does once."""
        if self._mean.has_begun or not self._rule.has_stopped_falling(valid_loss):
            return []
        self._mean.begin()
        self._averages_from = epoch + 1
        message = (
            f"the validation loss has stopped falling: weights are averaged after epoch {epoch}"
        )
        return [events.LogWritten(level="info", message=message)]

    def _validate(self) -> float | None:
        """Mean loss over the validation part, with the averages if there are any."""
        self.network.eval()
        with self._mean.in_use(), devices.autocast(self.device, self.config.engine):
            hidden = self._first_hidden(self._valid)
            return mean_loss(self._valid, self.config.text.bptt, self.network, hidden)

    @property
    def is_over(self) -> bool:
        """Never: a training goes on to its last epoch."""
        return False

    def checkpoint_reason(self) -> str:
        """Whether the epoch is the best so far. Its checkpoint is kept beside the newest ones."""
        return "best" if self._scores.is_best else "epoch"

    def finish(self, seconds: float) -> events.RunFinished:
        """The run's last event: the last and the best validation perplexity."""
        return self._scores.finish(seconds, self.genotype)

    # Going back -----------------------------------------------------------------------------------

    def failed(self, error: NotFiniteError) -> None:
        """Decide to go back to the best epoch, after numbers that were not finite.

        Raises:
            NotFiniteError: there is nothing to go back to, or it was tried often enough.
        """
        self._going_back.decide(error, self._scores.best_epoch)

    @property
    def rollback(self) -> Rollback | None:
        """The decision to go back; None to go on."""
        return self._going_back.decision

    def may_return_to(self, epoch: int) -> Sequence[int]:
        """The best epoch, if it is among those up to `epoch`."""
        best = self._scores.best_epoch
        return [best] if 0 < best <= epoch else []

    def roll_back(self, state: dict[str, Any], position: Position) -> list[events.Event]:
        """Go on from the best epoch's `state`, with other random numbers.

        DEVIATION: the official code goes on from the averages, which its checkpoint has in place of
        the weights; ours has both, and the weights go on.
        """
        self.load_state(state)
        self._going_back.returned(self._going_back.tries)
        self._finite = FiniteGuard(self.device)
        self._recent.reset()
        tries = self._going_back.tries
        message = f"back to the end of epoch {position.epoch}, try {tries}: other random numbers"
        return [events.LogWritten(level="warning", message=message)]

    # Checkpoints ----------------------------------------------------------------------------------

    def identity(self) -> dict[str, str]:
        """What a checkpoint and a run must have in common."""
        corpus, data = self._corpus, self.config.data
        return {
            "kind": "train",
            "network": f"recurrent n={self.config.text.width}",
            "genotype": self.genotype.text(),
            # Where it lies may change.
            "data": f"{len(corpus.train)} {corpus.tokens.kind} {corpus.digest('train')}",
            # A position in an epoch means nothing in other columns or windows.
            "data order": f"batch {data.batch_size} seed {self.config.engine.seed}",
        }

    def state(self) -> dict[str, Any]:
        """Everything the next step depends on; random streams have no state.

        Raises:
            NotFiniteError: a loss was not finite, so the state is not worth saving.
        """
        self._finite.settle()
        state = {
            "network": self.network.state_dict(),
            "weight_optimizer": self._optimizer.state_dict(),
            "hidden": self._hidden,
            "losses": list(self._rule.losses),
            "averages_from": self._averages_from,
            "averaged_steps": self._mean.steps,
            "tries": self._going_back.tries,
            "inputs": TextInputs(self._corpus.tokens).state(),
            **self._scores.state(),
        }
        if self._mean.has_begun:
            with self._mean.in_use():
                average = self.network.state_dict()
                state["average"] = {name: value.clone() for name, value in average.items()}
        return state

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.network.load_state_dict(state["network"])
        self._optimizer.load_state_dict(state["weight_optimizer"])
        self._hidden = state["hidden"].to(self.device)
        self._rule.losses = list(state["losses"])
        self._averages_from = state["averages_from"]
        self._going_back.tries = state["tries"]
        self._scores.load_state(state)
        if "average" in state:
            names = [name for name, _ in self.network.named_parameters()]
            self._mean.load([state["average"][name] for name in names], state["averaged_steps"])
        else:
            self._mean.end()
