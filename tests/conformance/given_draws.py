"""Random numbers that both sides of a conformance test take, in the engine's order."""

import types
from collections import deque
from collections.abc import Callable, Sequence

import torch
from torch import Tensor


class Uniform:
    """Numbers in [-1, 1]: the engine draws, and the reference takes the same ones after it."""

    def __init__(self, seed: int = 0) -> None:
        self._generator = torch.Generator().manual_seed(seed)
        self._waiting: deque[Tensor] = deque()

    def draw(self, shape: Sequence[int]) -> Tensor:
        """For the engine."""
        drawn = 2 * torch.rand(shape, generator=self._generator, dtype=torch.float64) - 1
        self._waiting.append(drawn)
        return drawn.clone()

    def __call__(self, shape: Sequence[int]) -> Tensor:
        """For the reference: the oldest that it has not taken."""
        drawn = self._waiting.popleft()
        assert drawn.shape == torch.Size(shape)
        return drawn

    def is_used_up(self) -> bool:
        """Whether the reference has taken all that the engine drew."""
        return not self._waiting


class Gumbels(Uniform):
    """Gumbel noise likewise: -log of an exponential number."""

    def draw(self, shape: Sequence[int]) -> Tensor:
        """For the engine."""
        exponential = torch.empty(shape, dtype=torch.float64)
        drawn = -exponential.exponential_(generator=self._generator).log()
        self._waiting.append(drawn)
        return drawn.clone()


def give_uniform(monkeypatch, *modules: types.ModuleType) -> Uniform:
    """Let the `noise` of these modules be the radius times what is returned here."""
    draws = Uniform()

    def noise(like: Tensor, radius: float, _: torch.Generator) -> Tensor:
        return radius * draws.draw(like.shape)

    for module in modules:
        monkeypatch.setattr(module, "noise", noise)
    return draws


def give_gumbels(monkeypatch) -> Gumbels:
    """Let the Gumbel relaxation take its noise from what is returned here."""
    from darts_engine.methods.relaxations.gumbel import Gumbel

    draws = Gumbels()

    def noise(self: Gumbel, alpha: Tensor, _: torch.Generator) -> Tensor:
        return draws.draw(alpha.shape)

    monkeypatch.setattr(Gumbel, "_noise", noise)
    return draws


def give_dirichlet(monkeypatch) -> Callable[[], int]:
    """Let torch draw each Dirichlet sample once for the engine and once more for the reference.

    Both go through `torch._sample_dirichlet`. Returns how many samples wait for the reference.
    """
    sample, waiting = torch._sample_dirichlet, deque[Tensor]()

    def again(concentration: Tensor, generator: torch.Generator | None = None) -> Tensor:
        if generator is None:
            return waiting.popleft().to(concentration)
        waiting.append(sample(concentration, generator=generator))
        return waiting[-1].clone()

    monkeypatch.setattr(torch, "_sample_dirichlet", again)
    return lambda: len(waiting)
