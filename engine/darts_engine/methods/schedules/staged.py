"""The schedule "staged": a search in stages, each deeper and with fewer candidates than the last.

Chen et al., P-DARTS, ICCV 2019, arXiv 1904.12760, section 3, and its code. Every stage begins with
fresh weights and alphas; only the list of candidates is carried over. Alpha does not learn in the
first part of a stage, while the dropout on skip connections is strongest, so that they do not win
because they are easy to train.
Shapes: E edges, O operations.

DEVIATION: DrNAS (Chen et al., 2021, arXiv 2006.10355) carries the weights over from stage to stage
and changes how many channels take part; a staged search with its relaxation does neither.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from darts_engine.optim.schedules import ROUND_OFF
from darts_engine.run.settings.config import SearchConfig

# The published decay per epoch, 0.2, times the 25 epochs of a published stage.
DECAY = 5.0

# Each cell's candidates, edge by edge.
Candidates = Mapping[str, Sequence[Sequence[str]]]


class Stage(NamedTuple):
    """A stretch of epochs with one supernet.

    Attributes:
        number: from 0.
        first: its first epoch, from 1.
        epochs: its length.
        resting: epochs at its beginning in which alpha does not learn.
        more_layers: cells beyond those of the space.
        candidates: how many candidates an edge keeps at most; None keeps all.
        dropout: probability of dropout on skip connections at its beginning.
    """

    number: int
    first: int
    epochs: int
    resting: int = 0
    more_layers: int = 0
    candidates: int | None = None
    dropout: float = 0.0

    @property
    def last(self) -> int:
        """Its last epoch."""
        return self.first + self.epochs - 1

    def skip_dropout(self, epoch: int) -> float:
        """The probability of dropout on skip connections in an epoch (from 1).

        With r at the beginning, e epochs of the stage's E before this one, and s of rest:
        r (E - e - 1) / E while alpha does not learn, then r exp(-5 (e - s) / E).
        """
        gone = epoch - self.first
        if gone < self.resting:
            return self.dropout * (self.epochs - gone - 1) / self.epochs
        return self.dropout * math.exp(-DECAY * (gone - self.resting) / self.epochs)


def stages(config: SearchConfig) -> list[Stage]:
    """The stages of a search: one, unless its schedule is staged."""
    method, epochs = config.method, config.search.epochs
    if method.schedule != "staged":
        return [Stage(0, 1, epochs)]
    wanted = method.stage_list()
    starts = [epochs * number // len(wanted) for number in range(len(wanted) + 1)]
    found = []
    for number, (more_layers, candidates, dropout) in enumerate(wanted):
        length = starts[number + 1] - starts[number]
        resting = int(method.stage_rest * length + ROUND_OFF)
        found.append(
            Stage(number, starts[number] + 1, length, resting, more_layers, candidates, dropout)
        )
    return found


def stage_of(plan: Sequence[Stage], epoch: int) -> Stage:
    """The stage that an epoch belongs to."""
    return next(stage for stage in reversed(plan) if epoch >= stage.first)


def narrowed(
    names: Candidates, weights: Mapping[str, Sequence[Sequence[float]]], most: int
) -> dict[str, list[list[str]]]:
    """Each edge's `most` strongest candidates, in their order; of equals the earlier ones.

    Args:
        names: the candidates before.
        weights: their mixing weights, (E, O) by cell.
        most: how many an edge keeps.
    """
    left: dict[str, list[list[str]]] = {}
    for cell, edges in names.items():
        left[cell] = []
        for candidates, row in zip(edges, weights[cell], strict=True):
            ranked = sorted(range(len(row)), key=lambda o: (-row[o], o))
            left[cell].append([candidates[o] for o in sorted(ranked[:most])])
    return left


def explain(plan: Sequence[Stage], stage: Stage, before: Candidates, left: Candidates) -> str:
    """A line for people about the stage that begins next.

    Args:
        plan: all stages.
        stage: the next one.
        before: the candidates before.
        left: the candidates of the stage.
    """
    dropped = Counter(
        name
        for cell in before
        for was, now in zip(before[cell], left[cell], strict=True)
        for name in was
        if name not in now
    )
    listed = ", ".join(f"{name} on {count}" for name, count in dropped.most_common())
    return (
        f"stage {stage.number + 1} of {len(plan)} begins with epoch {stage.first}: "
        f"{stage.more_layers} more cells, {len(left['normal'][0])} candidates per edge, fresh "
        f"weights; dropped from edges: {listed or 'nothing'}"
    )
