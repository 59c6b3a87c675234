"""DARTS, first order: Liu et al., 2019, arXiv 1806.09055, eq. 6 with xi = 0.

Alpha takes an Adam step on the loss of the alpha half at the current weights. The weights are
frozen meanwhile, so that no gradient is computed for them: the official code computes it and
throws it away. Batch norms are in training mode and their running statistics take the batch in, as
there.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor

from darts_engine.compute.parallel import WHOLE, Shard
from darts_engine.optim.loss import cross_entropy
from darts_engine.run.settings.config import AlphaSection
from darts_engine.supernet.relaxed import RelaxedNetwork

# Images (B, C, H, W) and labels (B,).
Batch = tuple[Tensor, Tensor]
# Makes the context that the network computes in, such as autocast.
Precision = Callable[[], AbstractContextManager[object]]


# This process's part of the alpha batch, and of the weight batch.
Shards = tuple[Shard, Shard]
BOTH_WHOLE: Shards = (WHOLE, WHOLE)


class AlphaGradient(NamedTuple):
    """What a method saw: alpha's loss, the logits (B, classes), and the gradient of each alpha.

    Of a rank's shard, they are that rank's part: the sum of all ranks' gradients is the gradient.
    """

    loss: Tensor
    logits: Tensor
    gradients: Sequence[Tensor]


class FirstOrder:
    """The architect that moves alpha, and the relaxation the weights see.

    Args:
        supernet: whose alphas move.
        alpha: Adam's settings. Its weight decay is L2 inside Adam: it pulls alpha to 0.
        precision: what the network computes in.
    """

    def __init__(self, supernet: RelaxedNetwork, alpha: AlphaSection, precision: Precision) -> None:
        self._supernet = supernet
        self._precision = precision
        self._alphas = list(supernet.alphas.parameters())
        self._weights = list(supernet.weights())
        self._optimizer = torch.optim.Adam(
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
        """Alpha's gradient at a batch of the alpha half; nothing but running statistics moves.

        Args:
            batch: of the alpha half.
            weight_batch: the batch that the weights will learn from next.
            shards: which part of both this process has.
        """
        images, labels = batch
        with self.weights_frozen(), self._precision():
            logits = self._supernet(images)
            loss = cross_entropy(logits, labels)
        # Where every edge of a cell has drawn none, the cells before it have no part in the loss.
        gradients = torch.autograd.grad(shards[0].of(loss), self._alphas, materialize_grads=True)
        return AlphaGradient(loss.detach(), logits.detach(), gradients)

    def move(self, gradients: Sequence[Tensor]) -> None:
        """One Adam step down a gradient."""
        for alpha, gradient in zip(self._alphas, gradients, strict=True):
            alpha.grad = gradient
        self.grad_norm = torch.stack([g.norm() for g in gradients]).norm()
        self._optimizer.step()
        self._optimizer.zero_grad()

    @contextmanager
    def weights_frozen(self) -> Iterator[None]:
        """Forward passes in here record nothing for the weights' gradients."""
        for weight in self._weights:
            weight.requires_grad_(False)
        try:
            yield
        finally:
            for weight in self._weights:
                weight.requires_grad_(True)

    def state(self) -> dict[str, Any]:
        """Adam's memory."""
        return self._optimizer.state_dict()

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self._optimizer.load_state_dict(state)
