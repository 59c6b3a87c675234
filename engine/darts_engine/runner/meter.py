"""Sums of loss and accuracy that stay on the device until an event needs them.

Reading a figure waits for the device, so steps only add. Where several processes share a run, each
adds up its own images, and all of them read together.
"""

import math

import torch
from torch import Tensor

from darts_engine.compute.parallel import world
from darts_engine.run.errors import NotFiniteError


class Meter:
    """Mean loss (nats) and top-1 and top-5 accuracy (percent) over images."""

    def __init__(self, device: torch.device) -> None:
        self._sums = torch.zeros(4, dtype=torch.float64, device=_float64_device(device))

    def add(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Add a batch: its mean loss (scalar), logits (B, classes) and labels (B,)."""
        with torch.no_grad():
            best = logits.topk(min(5, logits.shape[1]), dim=1).indices == labels[:, None]
            # First to the device, then to float64: the device of the batch may not have it.
            batch = [
                value.detach().to(self._sums.device).to(self._sums.dtype)
                for value in (loss, best[:, 0].sum(), best.sum())
            ]
            count = self._sums.new_full((), len(labels))
            self._sums += torch.stack([batch[0] * count, batch[1], batch[2], count])

    def read(self) -> tuple[float | None, float | None, float | None]:
        """Mean loss and the two accuracies; None without images or where one is not finite."""
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
        """Set the sums to zero."""
        self._sums.zero_()

    def state(self) -> Tensor:
        """The sums (4,) of all ranks together: loss, top-1, top-5, images."""
        sums = self._sums.cpu().clone()
        world().sum_([sums])
        return sums

    def load_state(self, sums: Tensor) -> None:
        """Go on from a checkpoint's sums. Rank 0 holds them for all ranks."""
        self._sums.copy_(sums)
        if world().rank:
            self._sums.zero_()


class Mean:
    """Mean of one figure over images or tokens."""

    def __init__(self, device: torch.device) -> None:
        self._sums = torch.zeros(2, dtype=torch.float64, device=_float64_device(device))

    def add(self, value: Tensor, count: int) -> None:
        """Add a batch: its mean (scalar) over `count` images."""
        mean = value.detach().to(self._sums.device).to(self._sums.dtype)
        self._sums += torch.stack([mean * count, self._sums.new_full((), count)])

    def read(self) -> float | None:
        """The mean over the images of all ranks; None without images or where it is not finite."""
        total, count = self.state().tolist()
        mean = total / count if count else math.nan
        return round(mean, 6) if math.isfinite(mean) else None

    def reset(self) -> None:
        """Set the sums to zero."""
        self._sums.zero_()

    def state(self) -> Tensor:
        """The sums (2,) of all ranks together: the figure, and the images or tokens."""
        sums = self._sums.cpu().clone()
        world().sum_([sums])
        return sums

    def load_state(self, sums: Tensor) -> None:
        """Go on from a checkpoint's sums. Rank 0 holds them for all ranks."""
        self._sums.copy_(sums)
        if world().rank:
            self._sums.zero_()


def _float64_device(device: torch.device) -> torch.device:
    """The device for sums in float64, which Apple's GPUs do not have."""
    return torch.device("cpu") if device.type == "mps" else device


class FiniteGuard:
    """Stops the run at a loss or gradient that is not finite.

    On the CPU every step is checked before the weights move, so that they stay finite. On a GPU
    that would wait for the device in every step. There the result of the checks stays on the device
    and is read when an event is due and before every checkpoint, so that no such state is saved.
    """

    def __init__(self, device: torch.device) -> None:
        self._immediately = device.type == "cpu"
        self._all_finite = torch.ones((), dtype=torch.bool, device=device)
        self._where = ""

    def check(self, loss: Tensor, what: str, epoch: int, step: int) -> None:
        """Check a loss, or a gradient of any shape, before it is used.

        Args:
            loss: what is checked.
            what: its name in the error message.
            epoch: from 1.
            step: from 1.

        Raises:
            NotFiniteError: it is not finite (on the CPU; on GPUs `settle` raises it).
        """
        self._where = f"{what}, at or before epoch {epoch}, step {step}"
        self._all_finite &= torch.isfinite(loss.detach()).all()
        if self._immediately:
            self.settle()

    def settle(self) -> None:
        """Wait for the result of all checks so far, on every rank.

        Raises:
            NotFiniteError: a loss or gradient was not finite on some rank. Lower the learning
                rates; `resume` goes on from the last good checkpoint.
        """
        not_finite = (~self._all_finite).to(torch.int32)
        world().sum_([not_finite])
        if bool(not_finite):
            raise NotFiniteError(
                "a loss or gradient is not a finite number",
                where=self._where,
                remedy="lower --lr or --alpha-lr; 'resume' goes on from the last good checkpoint",
            )


def number(value: Tensor) -> float | None:
    """A scalar, rounded to six decimals; None where it is not finite."""
    plain = float(value)
    return round(plain, 6) if math.isfinite(plain) else None
