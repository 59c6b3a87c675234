"""DARTS, first order: Liu et al., 2019, arXiv 1806.09055, eq. 6 with xi = 0.

Alpha takes an Adam step on the loss of the alpha half at the current weights:

    gradient of alpha = grad_alpha L_valid(w, alpha)

Batch norms are in training mode and their running statistics take the batch in, as in the official
code. The weights are frozen meanwhile, so that no gradient is computed for them; the official code
computes it and throws it away. Shapes: B batch, C channels, H W space, E edges, O operations.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor

from darts_engine.compute.parallel import WHOLE, Shard
from darts_engine.optim import eager
from darts_engine.run.settings.config import AlphaSection
from darts_engine.supernet.relaxed import Batch, RelaxedNetwork

# Makes the context that the network computes in, such as autocast.
Precision = Callable[[], AbstractContextManager[object]]
# This process's part of the alpha batch, and of the weight batch.
Shards = tuple[Shard, Shard]
BOTH_WHOLE: Shards = (WHOLE, WHOLE)


class AlphaGradient(NamedTuple):
    """The gradient of each alpha at a batch, and the figures of the batch.

    Where several ranks share a batch, the sum of their gradients is the gradient.

    Attributes:
        loss: mean cross entropy, a scalar.
        output: what the network gave: logits (B, classes), or of text the last hidden state (B, n).
        gradients: (E, O) for each alpha.
    """

    loss: Tensor
    output: Tensor
    gradients: Sequence[Tensor]


class FirstOrder:
    """Computes alpha's gradient at the current weights, and moves alpha by Adam.

    Args:
        supernet: its alphas learn.
        alpha: Adam's settings. The weight decay is L2 in the gradient: it pulls alpha to 0.
        precision: makes the context that the network computes in.

    Attributes:
        grad_norm: L2 norm of the last gradient, a scalar on the device.
    """

    def __init__(self, supernet: RelaxedNetwork, alpha: AlphaSection, precision: Precision) -> None:
        self._supernet = supernet
        self._precision = precision
        self._alphas = list(supernet.alphas.parameters())
        self._weights = list(supernet.weights())
        self._optimizer = eager.Adam(
            self._alphas,
            lr=alpha.lr,
            betas=(alpha.beta1, alpha.beta2),
            weight_decay=alpha.weight_decay,
        )
        self.grad_norm = torch.zeros((), device=self._alphas[0].device)

    def alpha_gradient(
        self,
        batch: Batch,
        weight_batch: Batch,  # noqa: ARG002  for other methods
        shards: Shards = BOTH_WHOLE,
    ) -> AlphaGradient:
        """Alpha's gradient at a batch of the alpha half. Only running statistics change.

        Args:
            batch: inputs and labels of the alpha half.
            weight_batch: the batch of the next weight step.
            shards: this process's part of both.
        """
        with self.weights_frozen(), self._precision():
            # Called with a batch alone, it mixes by what the method makes of alpha (`relax`).
            loss, output = self._supernet.loss(batch)
        # Eq. 6 with xi = 0. Zeros for cells without a part in the loss: where all edges of a cell
        # draw `none`, the cells before it have none.
        gradients = torch.autograd.grad(shards[0].of(loss), self._alphas, materialize_grads=True)
        return AlphaGradient(loss.detach(), output.detach(), gradients)

    def move(self, gradients: Sequence[Tensor]) -> None:
        """One Adam step down the gradient, (E, O) for each alpha."""
        for alpha, gradient in zip(self._alphas, gradients, strict=True):
            alpha.grad = gradient
        self.grad_norm = torch.stack([g.norm() for g in gradients]).norm()
        self._optimizer.step()
        self._optimizer.zero_grad()

    @contextmanager
    def weights_frozen(self) -> Iterator[None]:
        """Inside, forward passes record nothing for the weights' gradients."""
        for weight in self._weights:
            weight.requires_grad_(False)
        try:
            yield
        finally:
            for weight in self._weights:
                weight.requires_grad_(True)

    def state(self) -> dict[str, Any]:
        """Adam's moments and step count."""
        return self._optimizer.state_dict()

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self._optimizer.load_state_dict(state)
