"""The architecture parameters: one (E, O) matrix per cell type.

Liu et al., DARTS, 2019, arXiv 1806.09055, section 2.2. E edges, O operations.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from darts_engine.compute import streams


class Alphas(nn.Module):
    """An (E, O) matrix per cell type; with edge normalisation also an (E,) vector.

    Args:
        shapes: (E, O) by cell type.
        scale: standard deviation of the first values.
        seed: names the streams that they are drawn from.
        edges: whether there are vectors of edges (PC-DARTS).
    """

    def __init__(
        self, shapes: Mapping[str, tuple[int, int]], scale: float, seed: int, *, edges: bool
    ) -> None:
        super().__init__()
        self._normalises_edges = edges
        for cell, shape in shapes.items():
            noise = torch.randn(shape, generator=streams.generator(seed, f"alpha {cell}"))
            self.register_parameter(cell, nn.Parameter(scale * noise))
        for cell, (count, _) in shapes.items() if edges else ():
            noise = torch.randn(count, generator=streams.generator(seed, f"alpha edges {cell}"))
            self.register_parameter(f"{cell}_edges", nn.Parameter(scale * noise))

    def matrices(self) -> dict[str, Tensor]:
        """The raw (E, O) alphas by cell type."""
        return {name: a for name, a in self.named_parameters() if not name.endswith("_edges")}

    def mixing(self) -> dict[str, Tensor]:
        """The weights of eq. 2: softmax(alpha) over the operations, (E, O) by cell type."""
        return {name: functional.softmax(alpha, dim=-1) for name, alpha in self.matrices().items()}

    def shares(self) -> dict[str, Tensor] | None:
        """The factors of whole edges, (E,) by cell type: a softmax over the edges into each node.

        Xu et al., PC-DARTS, 2020, arXiv 1907.05737, eq. 4. None without edge normalisation.
        """
        if not self._normalises_edges:
            return None
        found = {}
        for cell in self.matrices():
            edges: Tensor = getattr(self, f"{cell}_edges")
            nodes: list[Tensor] = []
            start = 0
            while start < len(edges):
                end = start + len(nodes) + 2
                nodes.append(functional.softmax(edges[start:end], dim=0))
                start = end
            found[cell] = torch.cat(nodes)
        return found
