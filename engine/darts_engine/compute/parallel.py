"""Several processes that compute as one: shares of a batch, sums over ranks, rank 0's decisions.

Each rank takes every N-th image of a step's batch and scales its mean loss by its share of the
batch, so that the sum of all ranks' gradients is the whole batch's. Everything that moves weights
or alphas is such a sum and therefore the same on every rank, bit for bit. What depends on a clock
or on commands, rank 0 decides for all and announces between two steps.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from enum import IntEnum
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch import distributed as dist

from darts_engine.compute.ranks import Place
from darts_engine.run.errors import ConfigError, RunError

# For a rank that hangs. One that died is noticed at once, because its connections close.
PATIENCE = timedelta(minutes=30)
# How often rank 0 announces WAIT during a pause, which may be longer than `PATIENCE`.
KEEP_ALIVE_S = 5.0
# Fewest images per rank that batch norm can take statistics of.
LEAST = 2


class RankLostError(RunError):
    """Another process of the run died or hangs. Resume the run."""


class Decision(IntEnum):
    """What all ranks do next between two steps."""

    GO = 0
    WAIT = 1
    SAVE = 2
    REPORT = 3
    STOP = 4
    MEASURE = 5


class Shard(NamedTuple):
    """A rank's part of a batch.

    Args:
        mine: selects its images out of the whole batch.
        share: factor of its mean loss in that of the whole batch.
        counts: whether this rank adds these images to loss and accuracy. Where every rank has the
            whole batch, only rank 0 does.
        whole: images of the whole batch; None if this part is the whole batch.
    """

    mine: slice = slice(None)
    share: float = 1.0
    counts: bool = True
    whole: int | None = None

    def of(self, loss: Tensor) -> Tensor:
        """A mean loss times `share`; the sum over ranks is the mean loss of the whole batch."""
        return loss if self.share == 1 else loss * self.share

    def mask(self, like: Tensor, keep: float, draws: torch.Generator | None) -> Tensor:
        """Ones with probability `keep`, zeros else, in the shape of `like`, (B, ...) and dense."""
        return self._everyones(like).bernoulli_(keep, generator=draws)[self.mine]

    def noise(self, like: Tensor, draws: torch.Generator | None) -> Tensor:
        """Standard normal noise in the shape of `like`, (B, ...)."""
        return self._everyones(like).normal_(generator=draws)[self.mine]

    def _everyones(self, like: Tensor) -> Tensor:
        # Drawn for the whole batch, an image's numbers do not depend on how many share it.
        dense = torch.empty_like(like)
        if self.whole is None:
            return dense
        return dense.new_empty_strided((self.whole, *like.shape[1:]), dense.stride())


WHOLE = Shard()


@dataclass(frozen=True)
class World:
    """The processes of a run: this one is `rank` of `size`. With size 1 nothing is sent."""

    rank: int = 0
    size: int = 1

    def shard(self, count: int, least: int = LEAST) -> Shard:
        """This rank's part of a batch of `count` images.

        Every N-th image. If a rank had fewer than `least`, every rank takes the whole batch.
        """
        if self.size == 1:
            return WHOLE
        if count < least * self.size:
            return Shard(share=1 / self.size, counts=self.rank == 0)
        mine = slice(self.rank, None, self.size)
        return Shard(mine, len(range(count)[mine]) / count, whole=count)

    @torch.no_grad()
    def sum_(self, tensors: Iterable[Tensor]) -> None:
        """Replace each tensor by its sum over all ranks, the same bits everywhere.

        Raises:
            RankLostError: a rank is gone.
        """
        if self.size == 1:
            return
        groups: dict[tuple[torch.dtype, torch.device], list[Tensor]] = {}
        for tensor in tensors:
            groups.setdefault((tensor.dtype, tensor.device), []).append(tensor)
        for group in groups.values():
            flat = torch.cat([tensor.reshape(-1) for tensor in group])
            with _lost_ranks():
                dist.all_reduce(flat)
            parts = flat.split([tensor.numel() for tensor in group])
            for tensor, part in zip(group, parts, strict=True):
                tensor.copy_(part.view(tensor.shape))

    def sum_gradients_(self, weights: Sequence[Tensor], *more: Tensor) -> None:
        """Sum the gradients of weights that have one, and `more`, over all ranks."""
        self.sum_([*(w.grad for w in weights if w.grad is not None), *more])

    def agree_on_statistics_(self, network: nn.Module) -> None:
        """Replace the running statistics of batch norms by their means over all ranks."""
        statistics = _statistics(network)
        self.sum_(statistics)
        if self.size > 1:
            torch._foreach_div_(statistics, self.size)

    @contextmanager
    def statistics_agreed(self, network: nn.Module) -> Iterator[None]:
        """As `agree_on_statistics_` inside; afterwards each rank has its own again, to the bit."""
        own = _statistics(network) if self.size > 1 else []
        kept = [tensor.clone() for tensor in own]
        self.agree_on_statistics_(network)
        try:
            yield
        finally:
            for tensor, before in zip(own, kept, strict=True):
                tensor.copy_(before)

    def state_of(self, network: nn.Module) -> dict[str, Any]:
        """A network's state, with the means of the running statistics over all ranks."""
        with self.statistics_agreed(network):
            state: dict[str, Any] = network.state_dict()
            # The means are gone afterwards.
            return state if self.size == 1 else {k: v.clone() for k, v in state.items()}

    def statistics_of_each_rank(self, network: nn.Module) -> dict[str, Tensor]:
        """For a checkpoint: each rank's own running statistics, (ranks, N).

        Their means would do but for the last bits, which must not depend on when a run is saved.
        """
        own = torch.cat([tensor.reshape(-1) for tensor in _statistics(network)])
        each = own.new_zeros(self.size, len(own))
        each[self.rank] = own
        self.sum_([each])
        return {"each": each}

    def take_own_statistics_(self, network: nn.Module, saved: Mapping[str, Tensor]) -> None:
        """Load this rank's own, if they were saved by as many ranks as there are now."""
        own, each = _statistics(network), saved.get("each")
        sizes = [tensor.numel() for tensor in own]
        if self.size == 1 or each is None or each.shape != (self.size, sum(sizes)):
            return
        for tensor, part in zip(own, each[self.rank].split(sizes), strict=True):
            tensor.copy_(part.view(tensor.shape))

    def of_rank_0(self, choice: bool) -> bool:
        """Rank 0's choice. Every rank must call this."""
        return bool(self._from_rank_0([int(choice)])[0])

    def number_of_rank_0(self, number: float) -> float:
        """Rank 0's number, to the last bit. Every rank must call this."""
        return float.fromhex(self.text_of_rank_0(number.hex()))

    def announce(self, decision: Decision, detail: int = 0) -> None:
        """Send rank 0's decision to the ranks that wait in `next_decision`.

        Raises:
            RankLostError: a rank is gone.
        """
        self._from_rank_0([decision, detail])

    def next_decision(self) -> tuple[Decision, int]:
        """Wait for rank 0's next decision; with STOP the second value is its exit code."""
        decision, detail = self._from_rank_0([0, 0])
        return Decision(decision), detail

    def text_of_rank_0(self, text: str = "") -> str:
        """Rank 0's text. Every rank must call this."""
        content = text.encode()
        (length,) = self._from_rank_0([len(content)])
        padded = content.ljust(length, b"\0")[:length]
        return bytes(self._from_rank_0(list(padded))).decode() if length else ""

    def _from_rank_0(self, numbers: list[int]) -> list[int]:
        if self.size == 1:
            return numbers
        # Always on the CPU, where it does not wait for the GPU.
        sent = torch.tensor(numbers, dtype=torch.int64)
        with _lost_ranks():
            dist.broadcast(sent, 0)
        received: list[int] = sent.tolist()
        return received

    def leave(self) -> None:
        """Wait until all ranks are done, and disconnect."""
        if self.size > 1:
            with suppress(RuntimeError):
                dist.barrier()
                dist.destroy_process_group()


def world() -> World:
    """The world that this process has joined, as torch knows it."""
    if dist.is_available() and dist.is_initialized():
        return World(dist.get_rank(), dist.get_world_size())
    return World()


def join(
    place: Place, device: torch.device, batch_size: int, patience: timedelta = PATIENCE
) -> World:
    """Connect to the other processes: gloo between CPUs, NCCL between GPUs.

    Args:
        place: of this process.
        device: that this process computes on.
        batch_size: images of a batch, over all ranks.
        patience: how long to wait for a rank that hangs.

    Raises:
        ConfigError: this torch, device or batch size cannot be shared. Leave out --nproc, or use a
            larger batch.
        RankLostError: not all ranks connected.
    """
    if place.size == 1:
        return World()
    if batch_size < LEAST * place.size:
        raise ConfigError(
            f"a batch of {batch_size} images is too small for {place.size} processes",
            remedy=f"use --batch-size {LEAST * place.size} or more, or a smaller --nproc",
        )
    if not dist.is_available() or device.type not in ("cpu", "cuda"):
        raise ConfigError(
            f"several processes cannot share a run on {device.type} with this torch",
            remedy="leave out --nproc, or use --device cpu",
        )
    backend = "gloo"
    if device.type == "cuda":
        torch.cuda.set_device(device)
        backend = "cpu:gloo,cuda:nccl"
    with _lost_ranks():
        dist.init_process_group(
            backend,
            init_method=f"file://{place.meeting}" if place.meeting else "env://",
            rank=place.rank,
            world_size=place.size,
            timeout=patience,
        )
        # The first sum connects all ranks: a missing one is noticed now.
        dist.all_reduce(torch.zeros(1, device=device))
    return World(place.rank, place.size)


@contextmanager
def _lost_ranks() -> Iterator[None]:
    """Raise errors of torch's connections as RankLostError."""
    try:
        yield
    except RuntimeError as error:
        # Which rank it was is not known here: its own message is in the engine's log.
        reason = (str(error).splitlines() or [""])[0]
        raise RankLostError(
            "another process of the run died or does not answer",
            where=f"engine.log may have its last words; {reason}"[:300],
            remedy="'darts-tui resume' goes on from the last checkpoint, with any --nproc",
        ) from error


def _statistics(network: nn.Module) -> list[Tensor]:
    return [buffer for buffer in network.buffers() if buffer.is_floating_point()]
