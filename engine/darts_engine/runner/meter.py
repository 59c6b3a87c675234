"""Sums of loss and accuracy that stay on the device until somebody asks.

Reading a figure waits for the device, so steps only add; the loop asks when an event is due. Where
several processes share a run, each adds up its own images, and all of them read together.
"""

import math

import torch
from torch import Tensor

from darts_engine.compute.parallel import world
from darts_engine.run.errors import NotFiniteError


class Meter:
    """Means over images: cross entropy, and accuracies among the best 1 and 5 classes."""

    def __init__(self, device: torch.device) -> None:
        self._sums = torch.zeros(4, dtype=torch.float64, device=_home(device))

    def add(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Take in a batch: its mean loss (scalar), logits (B, classes) and labels (B,)."""
        with torch.no_grad():
            best = logits.topk(min(5, logits.shape[1]), dim=1).indices == labels[:, None]
            # To the device first, then to the precision, which that of the batch may not have.
            batch = [
                value.detach().to(self._sums.device).to(self._sums.dtype)
                for value in (loss, best[:, 0].sum(), best.sum())
            ]
            count = self._sums.new_full((), len(labels))
            self._sums += torch.stack([batch[0] * count, batch[1], batch[2], count])

    def read(self) -> tuple[float | None, float | None, float | None]:
        """Mean loss and the two accuracies in percent; None where there is no finite number."""
        loss, top1, top5, count = self.state().tolist()
        if not count:
            return None, None, None
        mean = loss / count
        return (
            round(mean, 6) if math.isfinite(mean) else None,
            round(100 * top1 / count, 4),
            round(100 * top5 / count, 4),
        )

    def reset(self) -> None:
        """Begin again."""
        self._sums.zero_()

    def state(self) -> Tensor:
        """The sums of all ranks, for a checkpoint."""
        sums = self._sums.cpu().clone()
        world().sum_([sums])
        return sums

    def load_state(self, sums: Tensor) -> None:
        """Go on from a checkpoint's sums, which rank 0 keeps for all."""
        self._sums.copy_(sums)
        if world().rank:
            self._sums.zero_()


def _home(device: torch.device) -> torch.device:
    """Where sums in double precision can live: Apple's GPUs have none."""
    return torch.device("cpu") if device.type == "mps" else device


class FiniteGuard:
    """Notices a loss that is not a number.

    On the CPU every step is checked before the weights move, so that they are never poisoned. On a
    GPU that would wait for the device in every step: there the verdict is kept on the device and
    read when an event is due and before every checkpoint, so that no poisoned state is ever saved.
    """

    def __init__(self, device: torch.device) -> None:
        self._immediately = device.type == "cpu"
        self._all_finite = torch.ones((), dtype=torch.bool, device=device)
        self._where = ""

    def check(self, loss: Tensor, what: str, epoch: int, step: int) -> None:
        """Look at a loss, or at a gradient of any shape, about to be used.

        Raises:
            NotFiniteError: it is not finite (CPU; on GPUs later, from `settle`).
        """
        self._where = f"{what}, at or before epoch {epoch}, step {step}"
        self._all_finite &= torch.isfinite(loss.detach()).all()
        if self._immediately:
            self.settle()

    def settle(self) -> None:
        """Wait for the device's verdict, and that of every rank.

        Raises:
            NotFiniteError: a loss was not finite, on any rank.
        """
        poisoned = (~self._all_finite).to(torch.int32)
        world().sum_([poisoned])
        if bool(poisoned):
            raise NotFiniteError(
                "a loss or gradient is not a finite number",
                where=self._where,
                remedy="lower --lr or --alpha-lr; 'resume' goes on from the last good checkpoint",
            )


def number(value: Tensor) -> float | None:
    """A scalar with six digits; None where it is not finite."""
    plain = float(value)
    return round(plain, 6) if math.isfinite(plain) else None
