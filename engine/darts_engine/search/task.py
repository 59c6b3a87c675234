"""The search: alpha and weights in turn. The file to read first.

Liu et al., DARTS, 2019, arXiv 1806.09055, algorithm 1. One half of the training images moves the
weights, the other half moves alpha. `Search.step` is a whole step; `runner.loop.Loop` calls it.
What a search reports is in report.py. `text_task.py` has what a search on text does otherwise.
"""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar

import torch
from torch import Tensor

from darts_engine.compute import device as devices
from darts_engine.compute import parallel
from darts_engine.data.dataset import Dataset
from darts_engine.data.text.corpus import Corpus
from darts_engine.layers.sync_norm import synchronise
from darts_engine.memory import footprint
from darts_engine.methods.method import Method
from darts_engine.methods.schedules import staged
from darts_engine.methods.schedules.staged import Stage
from darts_engine.methods.stopping.rules import Verdict
from darts_engine.optim.schedules import cosine, spans
from darts_engine.optim.sgd import sgd
from darts_engine.run import events
from darts_engine.run.settings import catalog
from darts_engine.run.settings.config import SearchConfig
from darts_engine.runner.loop import Timing
from darts_engine.runner.meter import FiniteGuard
from darts_engine.runner.position import Position
from darts_engine.runner.scores import Figures
from darts_engine.runner.stopwatch import Stopwatch
from darts_engine.search.ending import Ending
from darts_engine.search.halves import Halves
from darts_engine.search.report import SearchReport
from darts_engine.search.sides import Sides
from darts_engine.spaces.space import Space
from darts_engine.supernet.mixing import Mixing
from darts_engine.supernet.relaxed import Batch, Inputs, Outcome, RelaxedNetwork
from darts_engine.tables.tables import Tables


class Search:
    """A supernet, the method that moves its alphas, and the images of both.

    Args:
        config: of the run.
        dataset: its training part is halved; the images of the test part are never used.
        device: where the supernet computes.

    Attributes:
        halves: the batches of both halves.
        space: the candidates that are left, and how a genotype is derived.
        supernet: of the current stage.
        method: of the current stage.
        make_halves: makes `halves`; a subclass may name another class.
        make_report: makes what counts and reports.
    """

    unit = "images"
    make_halves: ClassVar[Callable[..., Sides]] = Halves
    make_report: ClassVar[type[SearchReport]] = SearchReport

    def __init__(
        self, config: SearchConfig, dataset: Dataset | Corpus, device: torch.device
    ) -> None:
        self.config, self.device = config, device
        self.epochs = config.search.epochs
        self._dataset: Any = dataset
        self._world = parallel.world()
        self.halves: Sides = self.make_halves(config, dataset, device)
        self.steps_per_epoch = self.halves.steps_per_epoch
        self.space: Space = catalog.resolve("space", catalog.SPACES, config.space.space)(config)
        self._finite = FiniteGuard(device)
        self._weight_grad_norm = torch.zeros((), device=device)
        self._stopwatch = Stopwatch()
        self._report = self.make_report(config, self.space, self.halves, device)
        self._ending = Ending(config)
        self._plan = staged.stages(config)
        self._enter(self._plan[0])

    def _enter(self, stage: Stage) -> None:
        """Begin a stage with a fresh supernet of the candidates that are left."""
        self._stage = stage
        self.supernet = self._supernet_of(stage, self.space)
        self._weights = list(self.supernet.weights())
        self._optimizer = sgd(self._weights, self.config.weights)
        self.method = Method(self.supernet, self.config, self._optimizer)
        self._report.observe(self.supernet, self.method)

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

    @property
    def network(self) -> RelaxedNetwork:
        """The supernet, under the name that a training has for its network."""
        return self.supernet

    def footprint(self) -> footprint.Footprint:
        """The memory that a step needs, in the largest stage."""
        batch, shape = self.config.data.batch_size, self._dataset.image_shape
        supernets = [self.supernet]
        # Which candidates will be left is not known yet. The estimate takes the last ones of each
        # edge, the convolutions, which need the most memory.
        for stage in self._plan[1:]:
            space = type(self.space)(self.config)
            most, edges = stage.candidates or 0, space.candidates().items()
            space.narrow({cell: [names[-most:] for names in lists] for cell, lists in edges})
            supernets.append(self._supernet_of(stage, space))
        found = [footprint.of_search(supernet, self.config, shape) for supernet in supernets]
        return max(found, key=lambda stage: stage.of(batch))

    # The epoch ------------------------------------------------------------------------------------

    def steps_of(self, epoch: int) -> int:
        """Steps of an epoch, from 1."""
        return self.halves.steps_of(epoch)

    def begin_epoch(self, epoch: int) -> dict[str, float]:
        """Enter the stage that begins with this epoch, if one does, and set the schedules' values.

        Returns:
            Those values by the schedules' names.
        """
        stage = staged.stage_of(self._plan, epoch)
        if stage.number > self._stage.number:
            self.space.narrow(self.method.left_for(stage))
            self._enter(stage)
        values = self._schedule_values(epoch)
        for group in self._optimizer.param_groups:
            group["lr"] = values["lr_weights"]
            group["weight_decay"] = values.get("weight_decay", group["weight_decay"])
        if "cutout" in values:
            self.halves.cut_out(values["cutout"])
        self.method.begin_epoch(epoch)
        return values

    def _schedule_values(self, epoch: int) -> dict[str, float]:
        weights, alpha = self.config.weights, self.config.alpha
        stage = staged.stage_of(self._plan, epoch)
        decay = self._ending.weight_decay(epoch)
        # P-DARTS restarts the cosine in each stage; DrNAS has one over all stages.
        continues = self.config.method.stage_lr == "continue"
        first, epochs = (1, self.epochs) if continues else (stage.first, stage.epochs)
        return {
            "lr_weights": cosine(weights.lr, weights.lr_min, epoch - first, epochs),
            "lr_alpha": alpha.lr if self._is_alpha_moving(epoch) else 0.0,
            **({} if decay is None else {"weight_decay": decay}),
            **self.method.schedule_values(epoch),
        }

    def _is_alpha_moving(self, epoch: int) -> bool:
        """Whether alpha learns in an epoch: not in the first ones of a run or of a stage."""
        stage = staged.stage_of(self._plan, epoch)
        return epoch >= max(self.config.alpha_start, stage.first + stage.resting)

    def schedules(self) -> list[events.ScheduleSpan]:
        """The values of every epoch, as far as they are known now."""
        return spans(self._schedule_values, self.epochs)

    # The step -------------------------------------------------------------------------------------

    def step(self, epoch: int, step: int) -> int:
        """One alpha step, then one weight step with the new alpha.

        Args:
            epoch: from 1.
            step: of the epoch, from 1.

        Returns:
            Images in the weight batch; of text tokens.

        Raises:
            NotFiniteError: a loss or gradient is not finite (on a GPU it is raised later).
        """
        self.supernet.train()
        self.method.begin_step(epoch, step)
        with self._stopwatch.part("data"):
            weight_batch = self.halves.weight_batch(epoch, step)
            is_moving = self._is_alpha_moving(epoch)
            needs_batch = is_moving or self.method.is_perturbing
            alpha_batch = self.halves.alpha_batch(epoch, step) if needs_batch else None
        if alpha_batch is not None and is_moving:
            with self._stopwatch.part("alpha"):
                self._alpha_step(alpha_batch, weight_batch, epoch, step)
        with self._stopwatch.part("weights"):
            self._weight_step(weight_batch, alpha_batch, epoch, step)
        return self.halves.count(epoch, step)

    def _alpha_step(self, batch: Batch, weight_batch: Batch, epoch: int, step: int) -> Tensor:
        """Alpha moves down grad_alpha L_valid(w - xi grad_w L_train(w, alpha), alpha).

        A shard is this process's part of a batch; with one process it is the whole, and sums over
        the world change nothing.

        Returns:
            What the network gave for the batch.
        """
        shards = self.halves.shards(epoch, step)
        loss, output, gradients = self.method.alpha_gradient(batch, weight_batch, shards)
        self._finite.check(loss, "alpha's loss", epoch, step)
        self._world.sum_(gradients)
        for gradient in gradients:
            self._finite.check(gradient, "alpha's gradient", epoch, step)
        self.method.move(gradients)
        if shards[0].counts:
            self._report.add_alpha_step(loss, output, batch[1])
        return output

    def _weight_step(
        self, batch: Batch, alpha_batch: Batch | None, epoch: int, step: int
    ) -> Tensor:
        """The weights move down grad_w L_train(w, alpha).

        Returns:
            What the network gave for the batch.
        """
        shards = self.halves.shards(epoch, step)
        shard = shards[1]
        mixing = self.method.weight_mixing(batch, alpha_batch, shards)
        with devices.autocast(self.device, self.config.engine):
            objective, (loss, output) = self._training_loss(batch, mixing)
        self._finite.check(objective, "the training loss", epoch, step)
        # Without a gradient a weight rests; with one of zeros, momentum and decay still move it.
        drifts = self.config.method.resting_weights == "drift"
        self._optimizer.zero_grad(set_to_none=not drifts)
        shard.of(objective).backward()
        self._world.sum_gradients_(self._weights)
        clip = self.config.weights.grad_clip or math.inf
        self._weight_grad_norm = torch.nn.utils.clip_grad_norm_(self._weights, clip)
        self._finite.check(self._weight_grad_norm, "the weights' gradient", epoch, step)
        self._optimizer.step()
        if shard.counts:
            self._report.add_weight_step(loss, output, batch[1])
        return output

    def _training_loss(self, batch: Batch, mixing: Mixing) -> tuple[Tensor, Outcome]:
        """What the weights descend, a scalar, and the outcome that is reported."""
        outcome = self.supernet.loss(batch, mixing)
        return outcome.loss, outcome

    def stopwatch(self) -> Stopwatch:
        """Times of the alpha step, the weight step, and fetching their batches."""
        return self._stopwatch

    # The end of an epoch --------------------------------------------------------------------------

    def finish_epoch(self, position: Position, timing: Timing) -> list[events.Event]:
        """Validate on the alpha half, measure, and let the method and the stop rules decide.

        Returns:
            The epoch's events.
        """
        self._settle()
        # The names of the streams, for an engine that takes the run up just here.
        self.method.begin_step(position.epoch, position.step)
        valid = self.validate()
        decided = [
            events.LogWritten(level="info", message=line)
            for line in self.method.decide(position.epoch)
        ]
        reported = self._report.alphas(position, always_derive=True)
        eigenvalue = self._eigenvalue(position)
        reported += self._report.health(position, self._weight_grad_norm, eigenvalue)
        if self._is_due(self.config.search.gap_every, position):
            reported.append(self._report.gap(position, valid))
        evidence = self._report.evidence(position, eigenvalue)
        reported += self._ending.check(position, evidence, self._report.entropies())
        return [*decided, *reported, self._report.finish_epoch(position, timing, valid)]

    def validate(self, most: int = 0) -> Figures:
        """Loss and accuracies on the alpha half, or on its first `most` images, as alpha is now."""
        self.supernet.eval()
        return self.halves.validate(self.predict, most)

    def predict(self, inputs: Inputs) -> Any:
        """Images (B, C, H, W) to logits (B, classes), without sampling or perturbation."""
        return self.method.predict(inputs, self.method.validation_mixing())

    def _settle(self) -> None:
        """Make sure that all losses were finite, and running statistics the same on all ranks."""
        self._finite.settle()
        self._world.agree_on_statistics_(self.supernet)

    def _is_due(self, every: int, position: Position) -> bool:
        """Whether a measurement of every so many epochs and of the last is due; 0 is never."""
        is_last = position.epoch == self.epochs
        return every > 0 and (is_last or position.epoch % every == 0)

    def _eigenvalue(self, position: Position) -> float | None:
        """The dominant eigenvalue, in the epochs that measure it."""
        is_due = self._is_due(self.config.method.hessian_every, position)
        return self._report.eigenvalue(position) if is_due else None

    @property
    def is_over(self) -> bool:
        """Whether the stop rule ended the search at the last epoch's end."""
        return self._ending.verdict is not None

    def finish(self, seconds: float) -> events.RunFinished:
        """The genotype that the search results in, and the supernet's accuracies."""
        now = self.space.derive(self.method.strengths())
        return self._report.finish(seconds, self._ending.result(now))

    # Events ---------------------------------------------------------------------------------------

    def describe(self) -> dict[str, Any]:
        """The fields of `RunStarted` that only the search knows."""
        return self._report.describe() | {"schedules": self.schedules()}

    def look_up_in(self, tables: Tables) -> None:
        """Report from now on what these tables know of each derived genotype."""
        self._report.architecture.tables = tables

    def opening(self, position: Position) -> list[events.Event]:
        """What the data set has, and the alphas that the first step starts from."""
        return [*self.halves.about(position), *self._report.alphas(position)]

    def report(self, position: Position) -> list[events.Event]:
        """The mean losses of the steps since the last report, and at times the alphas."""
        self._finite.settle()
        return self._report.steps(position)

    def measure_gap(self, position: Position) -> events.GapMeasured:
        """The discretisation gap now; nothing that a later step depends on changes."""
        self._finite.settle()
        with self._world.statistics_agreed(self.supernet):
            return self._report.gap(position)

    def alpha_loss(self, position: Position) -> AbstractContextManager[Callable[[], Tensor]]:
        """The loss of a step's alpha batch as a function of alpha: `Method.alpha_loss`."""
        return self.method.alpha_loss(self.halves.alpha_batch(position.epoch, position.step))

    # Going back -----------------------------------------------------------------------------------

    @property
    def rollback(self) -> Verdict | None:
        """The earlier epoch that the search restarts from after the epoch that just ended."""
        return self._ending.rollback

    def may_return_to(self, epoch: int) -> Sequence[int]:
        """The epochs up to `epoch`, which is done, that a later rollback may restart from."""
        return self._ending.may_return_to(epoch)

    def roll_back(self, state: dict[str, Any], position: Position) -> list[events.Event]:
        """Restart from `state`, saved at `position`, with more weight decay from there on."""
        self._load_search(state)
        self._report.forget_steps()
        return self._ending.roll_back(state, position)

    # Checkpoints ----------------------------------------------------------------------------------

    def checkpoint_reason(self) -> str:
        """Searches save no checkpoint for their best accuracy: alpha's last epoch counts."""
        return "epoch"

    def identity(self) -> dict[str, str]:
        """What a checkpoint and a run must have in common."""
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
        """Everything the next step depends on; random streams have no state.

        Raises:
            NotFiniteError: a loss was not finite, so the state is not worth saving.
        """
        self._finite.settle()
        state = {
            "stage": self._stage.number,
            "candidates": self.space.candidates(),
            "supernet": self._world.state_of(self.supernet),
            "weight_optimizer": self._optimizer.state_dict(),
            "method": self.method.state(),
            **self.halves.state(),
            **self._ending.state(),
            **self._report.state(),
        }
        if self._world.size > 1:
            state["statistics"] = self._world.statistics_of_each_rank(self.supernet)
        return state

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self._load_search(state)
        self._ending.load_state(state)

    def _load_search(self, state: dict[str, Any]) -> None:
        if state["stage"] != self._stage.number:
            self.space.narrow(state["candidates"])
            self._enter(self._plan[state["stage"]])
        self.supernet.load_state_dict(state["supernet"])
        self._world.take_own_statistics_(self.supernet, state.get("statistics", {}))
        self._optimizer.load_state_dict(state["weight_optimizer"])
        self.method.load_state(state["method"])
        self.halves.load_state(state)
        self._report.load_state(state)
