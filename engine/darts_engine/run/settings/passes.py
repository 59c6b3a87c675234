"""Counts the passes through the supernet in a search, from the axes of its method.

A forward pass is one evaluation of the network on one batch, a backward pass one computation of
gradients in alpha or the weights. Passes of different methods differ in cost: GDAS computes one
operation per edge, PC-DARTS a fraction of the channels, and those of mean shift are forward only.
`darts-tui bench --methods` measures the seconds.
"""

from typing import NamedTuple

from darts_engine.run.settings.config import SearchConfig


class Passes(NamedTuple):
    """Passes through the supernet."""

    forward: int
    backward: int

    def plus(self, other: "Passes") -> "Passes":
        """The sum of both."""
        return Passes(self.forward + other.forward, self.backward + other.backward)


ONE = Passes(1, 1)


def of_step(config: SearchConfig) -> Passes:
    """The passes of a step in which alpha learns, if the method has such steps."""
    passes = ONE.plus(_of_perturbation(config))
    return passes if config.method.architect == "random" else passes.plus(_of_alpha(config))


def of_search(config: SearchConfig, steps: int, epochs: int) -> Passes:
    """The passes of `epochs` epochs of `steps` steps; validation and analysis do not count."""
    learning = max(0, epochs - config.alpha_start + 1)
    resting = ONE.plus(_of_perturbation(config))
    full = of_step(config)
    return Passes(
        *(
            steps * (learning * with_alpha + (epochs - learning) * without)
            for with_alpha, without in zip(full, resting, strict=True)
        )
    )


def _of_alpha(config: SearchConfig) -> Passes:
    search = config.search
    if search.order == 1:
        return ONE
    # The virtual step and the loss after it, then the product with the Hessian: both sides of the
    # finite difference, or a gradient that is differentiated again.
    return Passes(4, 4) if search.hvp == "finite-difference" else Passes(3, 4)


def _of_perturbation(config: SearchConfig) -> Passes:
    method = config.method
    if method.perturbation == "adversarial":
        # The ascent, and the loss before and after it.
        return Passes(method.perturbation_steps + 2, method.perturbation_steps)
    if method.perturbation == "mean-shift":
        return Passes(method.perturbation_steps * method.samples, 0)
    return Passes(0, 0)
