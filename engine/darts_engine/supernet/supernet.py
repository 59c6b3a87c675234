"""The supernet: every candidate operation on every edge, mixed by weights that alpha decides.

Liu et al., DARTS, 2019, arXiv 1806.09055, sections 2.2 and 3.1.1. It computes what `plain.py`
defines, faster and with what later papers add. The cells are in `cell.py`; `official_state.py`
reads and writes the weights in the layout of the official code. Shapes: B batch, C channels,
H W space, E edges, O operations.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from darts_engine.compute import streams
from darts_engine.compute.activation_checkpoint import recomputed
from darts_engine.layers import operations
from darts_engine.layers.norm import BatchNorm
from darts_engine.supernet.cell import Design, Names, SearchCell
from darts_engine.supernet.mixing import Matrices, Mixing
from darts_engine.supernet.relaxed import RelaxedNetwork

STEM_MULTIPLIER = 3
CELLS = ("normal", "reduce")


class Supernet(RelaxedNetwork):
    """A stem, a stack of cells, a classifier, and the alphas that mix the operations.

    Args:
        names: the candidate operations in alpha's column order: of every edge, or by cell type
            and edge.
        nodes: intermediate nodes per cell.
        channels: C of the first cell; doubled by each reduction cell.
        layers: cells; those at layers // 3 and 2 * layers // 3 reduce.
        in_channels: channels of the images.
        classes: outputs.
        seed: names the streams that weights and alphas are drawn from.
        alpha_scale: standard deviation of the first alphas.
        partial: K of `Design`.
        edge_normalisation: the alphas also weigh whole edges (PC-DARTS).
        auxiliary_skip: as in `Design`.

    Raises:
        ValueError: `channels` is not divisible by 2 * `partial`.
    """

    def __init__(
        self,
        names: Names = operations.PRIMITIVES,
        *,
        nodes: int = 4,
        channels: int = 16,
        layers: int = 8,
        in_channels: int = 3,
        classes: int = 10,
        seed: int = 0,
        alpha_scale: float = 1e-3,
        partial: int = 1,
        edge_normalisation: bool = False,
        auxiliary_skip: bool = False,
    ) -> None:
        if channels % (2 * partial):
            raise ValueError(f"{channels} channels have no even {partial}th part")
        design = Design(names, nodes, partial, auxiliary_skip)
        shapes = {cell: (design.edges, len(design.candidates(cell)[0])) for cell in CELLS}
        super().__init__(shapes, alpha_scale, seed, edges=edge_normalisation)
        self.design = design
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(streams.seed_of(seed, "weights"))
            stem_channels = STEM_MULTIPLIER * channels
            self.stem = nn.Sequential(
                nn.Conv2d(in_channels, stem_channels, 3, 1, 1, bias=False),
                BatchNorm(stem_channels),
            )
            self.cells = nn.ModuleList()
            self.reductions = {layers // 3, 2 * layers // 3}
            before = (stem_channels, stem_channels)
            for layer in range(layers):
                if layer in self.reductions:
                    channels *= 2
                cell = SearchCell(
                    design,
                    before,
                    channels,
                    self.stochastic,
                    is_reduction=layer in self.reductions,
                    follows_reduction=layer - 1 in self.reductions,
                )
                self.cells.append(cell)
                before = (before[1], nodes * channels)
            self.classifier = nn.Linear(before[1], classes)

    def forward(self, x: Tensor, mixing: Mixing | Matrices | None = None) -> Tensor:
        """Images (B, in_channels, H, W) to logits (B, classes).

        Args:
            x: the images.
            mixing: each cell type's (E, O) weights; by default those of `relax`, which is
                softmax(alpha) or the relaxation of the search's method.
        """
        mixing = Mixing.of(self.relax() if mixing is None else mixing)
        out = self.stem(x)
        x0 = x1 = functional.relu_(out)
        for layer, cell in enumerate(self.cells):
            if layer:
                # Two cells take the output, so it is rectified here, once.
                x0, x1 = x1, functional.relu_(out)
            kind = "reduce" if layer in self.reductions else "normal"
            shares = None if mixing.shares is None else mixing.shares[kind]
            active = None if mixing.active is None else mixing.active[kind]
            if self.recomputes and torch.is_grad_enabled():
                out = recomputed(cell, x0, x1, mixing.weights[kind], shares, active)
            else:
                out = cell(x0, x1, mixing.weights[kind], shares, active)
        pooled = functional.adaptive_avg_pool2d(out, 1).flatten(1)
        logits: Tensor = self.classifier(pooled)
        return logits
