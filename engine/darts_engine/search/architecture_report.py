"""Events about the architecture of a search: alphas, the derived genotype, and their health."""

import math
import statistics
import time
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from darts_engine.layers.operations import SKIP
from darts_engine.methods.perturbations.mean_shift import MeanShift
from darts_engine.run import events
from darts_engine.run.architecture import derivation
from darts_engine.run.architecture.genotype import ONE_CELL, Genotype
from darts_engine.run.architecture.layout import Matrix
from darts_engine.run.architecture.text import parse
from darts_engine.runner.meter import number
from darts_engine.runner.position import Position
from darts_engine.spaces.space import Space
from darts_engine.tables.tables import Tables

# Seconds between samples, at least and at most; in between, the run's age over SAMPLES_PER_RUN.
SAMPLE_S = (1.0, 30.0)
SAMPLES_PER_RUN = 200


class ArchitectureReport:
    """Turns alphas into events. It remembers the last genotype, to report what changed.

    Args:
        space: derives genotypes.
        skip_alert: alert when a cell keeps this many skip connections; 0 = never; None where the
            space has none.

    Attributes:
        tables: published accuracies of genotypes.
    """

    def __init__(self, space: Space, skip_alert: int | None) -> None:
        self._space, self._skip_alert = space, skip_alert
        self.tables = Tables()
        self._genotype: Genotype | None = None
        self._skips: dict[str, int] = {}
        self._began = time.monotonic()
        self._sampled = -math.inf

    def is_due(self) -> bool:
        """Whether it is time for a sample: every second at first, every 30 in a long run."""
        now = time.monotonic()
        lowest, highest = SAMPLE_S
        if now - self._sampled < min(highest, max(lowest, (now - self._began) / SAMPLES_PER_RUN)):
            return False
        self._sampled = now
        return True

    def sample(
        self,
        position: Position,
        alphas: dict[str, Tensor],
        mixing: dict[str, Tensor],
        *,
        always_derive: bool,
    ) -> list[events.Event]:
        """The alphas and mixing weights; the genotype where it changed, or always.

        Args:
            position: now.
            alphas: the raw (E, O) matrix of each cell.
            mixing: the (E, O) mixing weights of each cell, from which the genotype is derived.
            always_derive: report the genotype even if it is the last one.
        """
        reported: list[events.Event] = [
            position.stamp(
                events.AlphaSampled,
                alphas=self._space.tables({c: _exact_rows(a) for c, a in alphas.items()}),
                weights=self._space.tables({c: _short_rows(w) for c, w in mixing.items()}),
            )
        ]
        genotype = self._space.derive(mixing)
        if always_derive or genotype != self._genotype:
            reported.append(
                position.stamp(
                    events.GenotypeDerived,
                    genotype=genotype,
                    text=genotype.text(),
                    changed=derivation.changes(self._genotype, genotype),
                )
            )
            self._genotype = genotype
            reported += self._tabulated(position, genotype.text())
        return reported

    def _tabulated(self, position: Position, text: str) -> list[events.Event]:
        """The published accuracy of a genotype just derived, if a table has it."""
        found = self.tables.find(text)
        if found is None:
            return []
        return [position.stamp(events.AccuracyTabulated, table=found.table, values=found.values)]

    def health(
        self,
        position: Position,
        mixing: dict[str, Tensor],
        *,
        alpha_grad_norm: Tensor,
        weight_grad_norm: Tensor,
        eigenvalue: float | None = None,
        hidden_norm: float | None = None,
    ) -> list[events.Event]:
        """Entropies, skip connections and norms; an alert when a cell keeps too many skips.

        Args:
            position: now.
            mixing: the (E, O) mixing weights of each cell.
            alpha_grad_norm: L2 norm of alpha's last gradient, a scalar.
            weight_grad_norm: L2 norm of the weights' last gradient, a scalar.
            eigenvalue: the dominant eigenvalue, where it was measured.
            hidden_norm: the mean L2 norm of the hidden states, on text.
        """
        genotype = self._genotype or self._space.derive(mixing)
        kept = {cell: genotype.edges(cell) for cell in genotype.cells}
        counted = kept if self._skip_alert is not None else {}
        skips = {cell: sum(e.operation == SKIP for e in edges) for cell, edges in counted.items()}
        reported: list[events.Event] = [
            position.stamp(
                events.HealthMeasured,
                entropy=self.entropies(mixing),
                skip_count=skips,
                kept_edges={cell: len(edges) for cell, edges in kept.items()},
                alpha_grad_norm=number(alpha_grad_norm),
                weight_grad_norm=number(weight_grad_norm),
                eigenvalue=None if eigenvalue is None else round(eigenvalue, 6),
                hidden_norm=hidden_norm,
            )
        ]
        for cell, count in skips.items():
            if self._skip_alert and count >= self._skip_alert and count > self._skips.get(cell, 0):
                reported.append(self._alert(position, cell, count, len(kept[cell])))
        self._skips = skips
        return reported

    def entropies(self, mixing: Mapping[str, Tensor]) -> dict[str, float | None]:
        """The mean entropy of each layout's rows, nats; `mixing` has (E, O) weights by cell."""
        tables = self._space.tables({name: w.cpu().tolist() for name, w in mixing.items()})
        return {name: entropy(rows) for name, rows in tables.items()}

    def _alert(self, position: Position, cell: str, count: int, kept: int) -> events.AlertRaised:
        return position.stamp(
            events.AlertRaised,
            code="skip_count",
            message=f"skip connections on {count} of {kept} edges of the {cell_label(cell)} "
            f"(alert at {self._skip_alert})",
        )

    def state(self) -> dict[str, Any]:
        """The genotype and the skip counts that were reported last."""
        text = self._genotype.text() if self._genotype else ""
        return {"genotype": text, "skips": dict(self._skips)}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self._genotype = parse(state["genotype"]) if state["genotype"] else None
        self._skips = dict(state["skips"])


def cell_label(cell: str) -> str:
    """The name of a cell type in a sentence."""
    return cell if cell in ONE_CELL else f"{cell} cell"


def shift_events(position: Position, shift: MeanShift | None) -> list[events.Event]:
    """The event of the last mean shift; none where there was no shift."""
    if shift is None or not len(shift.last.losses):
        return []
    return [
        position.stamp(
            events.MeanShifted,
            losses=[number(loss) for loss in shift.last.losses],
            shift={cell: number(length) for cell, length in shift.last.lengths.items()},
            radius=round(shift.last.radius, 6),
            bandwidth=shift.bandwidth,
        )
    ]


def entropy(rows: Matrix) -> float | None:
    """Mean entropy of rows of weights, nats.

    Args:
        rows: rows that do not sum to 1 are scaled to it; None is no weight.

    Returns:
        None where there is no row, or a weight is not finite.
    """
    each = []
    for row in rows:
        known = [weight for weight in row if weight is not None]
        if not all(map(math.isfinite, known)):
            return None
        # A row that was taken away altogether has no choice left: 0.
        total = sum(known) or 1.0
        each.append(-sum(w / total * math.log(w / total) for w in known if w > 0))
    return round(statistics.fmean(each), 6) if each else None


def _exact_rows(matrix: Tensor) -> list[list[float]]:
    """The matrix with all nine digits of a float32: deriving from it gives the same genotype."""
    return [[float(f"{value:.9g}") for value in row] for row in matrix.detach().float().tolist()]


def _short_rows(matrix: Tensor) -> list[list[float]]:
    """The matrix with six decimals: enough for every view, and a shorter log."""
    return [[round(value, 6) for value in row] for row in matrix.detach().float().tolist()]
