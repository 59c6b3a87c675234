"""GDAS's relaxation: Dong and Yang, 2019, arXiv 1910.04465, eq. 3 to 5.

Each forward pass samples one operation per edge, and only that one is computed:

    h~ = softmax((log softmax(alpha) + g) / tau), g = -log(e), e ~ Exp(1)
    h  = onehot(argmax h~)

The straight-through estimator gives every alpha of the edge a gradient: the forward pass uses h,
the backward pass the gradient of h~. Two forms of it are in use:

- "drawn": only the weight of the drawn operation carries a gradient, as the argmax in the paper's
  section 3.2 has it, and its code in the spaces of DARTS and NAS-Bench-1Shot1.
- "all": the weights of the others, which are zero, are added to the edge's output as numbers, so
  their gradient is that of an operation whose output is 1 everywhere. The official cell of
  NAS-Bench-201 does this.

Shapes: E edges, O operations.
"""

from collections.abc import Collection

import torch
from torch import Tensor
from torch.nn import functional

from darts_engine.compute import device as devices
from darts_engine.methods.relaxations.softmax import Relaxation
from darts_engine.supernet.mixing import Matrices, Mixing


class Gumbel(Relaxation):
    """Hard Gumbel-softmax with a temperature that falls linearly by epoch.

    Args:
        tau_max: temperature of the first epoch.
        tau_min: temperature of the last.
        hard: names of the alphas of which one column is sampled; None: all. The others mix by h~
            (NAS-Bench-1Shot1's parents, Zela et al., 2020, arXiv 2001.10422, code), because a node
            may keep several.
        drawn_only: whether the gradient is of the form "drawn"; else it is "all".

    Attributes:
        tau: the temperature of the current epoch.
    """

    def __init__(
        self,
        tau_max: float,
        tau_min: float,
        hard: Collection[str] | None = None,
        *,
        drawn_only: bool = True,
    ) -> None:
        self._max, self._min, self._hard = tau_max, tau_min, hard
        self._drawn_only = drawn_only
        self.tau = tau_max

    def schedule(self, epoch: int, epochs: int) -> dict[str, float]:
        """The temperature: tau_max - (tau_max - tau_min) e / (E - 1), e from 0."""
        fallen = (epoch - 1) / max(1, epochs - 1)
        return {"tau": self._max - (self._max - self._min) * fallen}

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Set the temperature."""
        self.tau = self.schedule(epoch, epochs)["tau"]

    def mix(self, alphas: Matrices, draws: torch.Generator) -> Mixing:
        """One-hot weights (E, O) by cell, and the sampled column of each edge.

        The host must know which operation is computed: on a GPU each forward pass waits for the
        sampled columns, and for nothing else.
        """
        weights, active = {}, {}
        for cell, alpha in alphas.items():
            noise = self._noise(alpha, draws)
            soft = functional.softmax((functional.log_softmax(alpha, -1) + noise) / self.tau, -1)
            if not self._draws_one(cell):
                weights[cell] = soft
                continue
            drawn = soft.argmax(-1)
            hard = functional.one_hot(drawn, alpha.shape[-1]).to(soft.dtype)
            # h in value, h~ in gradient.
            if self._drawn_only:
                weights[cell] = hard + hard * (soft - soft.detach())
            else:
                weights[cell] = hard - soft.detach() + soft
            active[cell] = [(column,) for column in drawn.tolist()]
        return Mixing(weights, active=active)

    def validated(self, alphas: Matrices) -> Mixing:
        """The likeliest operation of each edge alone, as the weights never computed a sum."""
        weights, active = {}, {}
        for cell, alpha in alphas.items():
            if not self._draws_one(cell):
                weights[cell] = functional.softmax(alpha, dim=-1)
                continue
            likeliest = alpha.argmax(-1)
            weights[cell] = functional.one_hot(likeliest, alpha.shape[-1]).to(alpha.dtype)
            active[cell] = [(column,) for column in likeliest.tolist()]
        return Mixing(weights, active=active)

    def expected(self, alphas: Matrices) -> dict[str, Tensor]:
        """softmax(alpha), (E, O) by cell: the probabilities of the sample."""
        return {cell: functional.softmax(alpha, dim=-1) for cell, alpha in alphas.items()}

    def _draws_one(self, cell: str) -> bool:
        return self._hard is None or cell in self._hard

    def _noise(self, alpha: Tensor, draws: torch.Generator) -> Tensor:
        """Gumbel noise (E, O), sampled again where a value is not finite."""
        while True:
            exponential = torch.empty(alpha.shape).exponential_(generator=draws)
            noise = -exponential.log()
            if bool(noise.isfinite().all()):
                return devices.send(noise.to(alpha.dtype), alpha.device)
