"""DARTS, first order: Liu et al., 2019, arXiv 1806.09055, eq. 6 with xi = 0.

Alpha takes an Adam step on the loss of the alpha half at the current weights. The weights are
frozen meanwhile, so that no gradient is computed for them: the official code computes it and
throws it away. Batch norms are in training mode and their running statistics take the batch in, as
there.
"""

from typing import Any

import torch
from torch import Tensor

from darts_engine.meter import cross_entropy
from darts_engine.run.config import AlphaSection
from darts_engine.supernet import Supernet


class FirstOrder:
    """The architect that moves alpha, and the relaxation the weights see.

    Args:
        supernet: whose alphas move.
        alpha: Adam's settings. Its weight decay is L2 inside Adam: it pulls alpha to 0.
    """

    def __init__(self, supernet: Supernet, alpha: AlphaSection) -> None:
        self._supernet = supernet
        self._alphas = list(supernet.alphas.parameters())
        self._weights = list(supernet.weights())
        self._optimizer = torch.optim.Adam(
            self._alphas,
            lr=alpha.lr,
            betas=(alpha.beta1, alpha.beta2),
            weight_decay=alpha.weight_decay,
        )
        self.grad_norm = torch.zeros((), device=self._alphas[0].device)

    def mixing(self) -> dict[str, Tensor]:
        """What mixes the operations in the weight step; no gradient reaches alpha."""
        with torch.no_grad():
            return self._supernet.alphas.mixing()

    def step(self, loss: Tensor) -> None:
        """Move alpha by one Adam step down the gradient of a loss."""
        gradients = torch.autograd.grad(loss, self._alphas)
        for alpha, gradient in zip(self._alphas, gradients, strict=True):
            alpha.grad = gradient
        self.grad_norm = torch.stack([g.norm() for g in gradients]).norm()
        self._optimizer.step()
        self._optimizer.zero_grad()

    def loss(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The mean loss of a batch of the alpha half as a function of alpha alone.

        Args:
            images: (B, C, H, W).
            labels: (B,).

        Returns:
            The loss, and the logits (B, classes) it comes from.
        """
        for weight in self._weights:
            weight.requires_grad_(False)
        try:
            logits = self._supernet(images)
        finally:
            for weight in self._weights:
                weight.requires_grad_(True)
        return cross_entropy(logits, labels), logits

    def state(self) -> dict[str, Any]:
        """Adam's memory."""
        return self._optimizer.state_dict()

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self._optimizer.load_state_dict(state)
