"""The steps of a search on the plain supernet, as the official DARTS code takes them.

Liu et al., DARTS, 2019, arXiv 1806.09055, section 2.3. The alpha step of first order also computes
the gradients of the weights, without using them. That of second order builds a second network at
every step. Ours are measured against both.
"""

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional

from darts_engine.optim import eager
from darts_engine.supernet.plain import PlainSupernet


class PlainSearch:
    """A plain supernet with its alphas and both optimizers.

    Args:
        network: the supernet.
        alphas: the raw (E, O) matrices of the normal and the reduction cell, which are copied.
    """

    lr, momentum, weight_decay, clip, radius = 0.025, 0.9, 3e-4, 5.0, 0.01

    def __init__(self, network: PlainSupernet, alphas: list[Tensor]) -> None:
        self.network = network
        self.alphas = [nn.Parameter(alpha.detach().clone()) for alpha in alphas]
        self.sgd = eager.SGD(
            network.parameters(), self.lr, self.momentum, weight_decay=self.weight_decay
        )
        self.adam = eager.Adam(self.alphas, 3e-4, (0.5, 0.999), weight_decay=1e-3)

    def loss(self, network: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """The cross entropy of images x (B, C, H, W) and labels y (B,) at softmax(alpha)."""
        mixing = [functional.softmax(alpha, 1) for alpha in self.alphas]
        return functional.cross_entropy(network(x, *mixing), y)

    def forward(self, x: Tensor, y: Tensor) -> None:
        """A forward pass without gradients."""
        with torch.no_grad():
            self.loss(self.network, x, y)

    def weight_step(self, x: Tensor, y: Tensor) -> None:
        """One step of stochastic gradient descent."""
        self.sgd.zero_grad()
        self.loss(self.network, x, y).backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), self.clip)
        self.sgd.step()

    def first_order(self, x: Tensor, y: Tensor) -> None:
        """An alpha step with xi = 0."""
        self.adam.zero_grad()
        self.loss(self.network, x, y).backward()
        self.adam.step()

    def second_order(self, train: tuple[Tensor, Tensor], valid: tuple[Tensor, Tensor]) -> None:
        """An alpha step through a virtual weight step, by finite differences (eq. 7, 8)."""
        weights = list(self.network.parameters())
        grads = torch.autograd.grad(self.loss(self.network, *train), weights)
        unrolled = copy.deepcopy(self.network)
        with torch.no_grad():
            for virtual, weight, grad in zip(unrolled.parameters(), weights, grads, strict=True):
                moment = self.sgd.state.get(weight, {}).get("momentum_buffer")
                step = grad + self.weight_decay * weight
                if moment is not None:
                    step = step + self.momentum * moment
                virtual.sub_(self.lr * step)
        self.adam.zero_grad()
        unrolled.zero_grad()
        self.loss(unrolled, *valid).backward()
        vector = [w.grad for w in unrolled.parameters() if w.grad is not None]
        epsilon = self.radius / torch.cat([v.reshape(-1) for v in vector]).norm()
        sides = []
        for sign in (1, -2):
            with torch.no_grad():
                for weight, v in zip(weights, vector, strict=True):
                    weight.add_(sign * epsilon * v)
            sides.append(torch.autograd.grad(self.loss(self.network, *train), self.alphas))
        with torch.no_grad():
            for weight, v in zip(weights, vector, strict=True):
                weight.add_(epsilon * v)
            for alpha, plus, minus in zip(self.alphas, *sides, strict=True):
                assert alpha.grad is not None
                alpha.grad -= self.lr * (plus - minus) / (2 * epsilon)
        self.adam.step()
