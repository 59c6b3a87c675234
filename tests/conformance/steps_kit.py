"""Real steps of a search in float64, and the same steps by the papers' rules beside them.

`search` makes a `Search` of any settings on images that both sides take. `Reference` is the other
side: an independent network of official names, alphas, torch's SGD and Adam, and nothing of the
engine's methods. It starts from the search's state, and `differences` says how far both are apart.
"""

import copy
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from tests.conformance.official_cells import OfficialCells, softmax_mix
from torch import Tensor, nn
from torch.nn import functional

from darts_engine.compute.parallel import Shard
from darts_engine.data.dataset import Dataset, Part
from darts_engine.run.settings import config as configs
from darts_engine.run.settings.config import SearchConfig
from darts_engine.search.halves import Halves
from darts_engine.search.task import Search
from darts_engine.supernet import official_state
from darts_engine.supernet.relaxed import RelaxedNetwork
from darts_engine.supernet.supernet import Supernet

IMAGES, SIDE, CLASSES = 4, 8, 5
TINY = {
    "engine.device": "cpu",
    "data.batch_size": IMAGES,
    "data.crop_padding": 0,
    "space.channels": 4,
    "space.layers": 3,
    "space.nodes": 2,
    "search.epochs": 4,
    "alpha.init_scale": 0.5,
}
Named = dict[str, Tensor]
Batch = tuple[Tensor, Tensor]


def batch(half: str, epoch: int, step: int) -> Batch:
    """The images (B, 3, H, W) and labels (B,) of a half in a step, in float64."""
    draws = torch.Generator().manual_seed(1000 * epoch + 2 * step + (half == "alpha"))
    images = torch.randn(IMAGES, 3, SIDE, SIDE, generator=draws, dtype=torch.float64)
    labels = torch.randint(CLASSES, (IMAGES,), generator=draws)
    return images.to(memory_format=torch.channels_last), labels


class GivenHalves(Halves):
    """Halves whose batches are those of `batch`."""

    def weight_batch(self, epoch: int, step: int) -> Batch:
        return batch("weights", epoch, step)

    def alpha_batch(self, epoch: int, step: int) -> Batch:
        return batch("alpha", epoch, step)


class DoubleSearch(Search):
    """A search in float64 that keeps the loss of every alpha step and weight step."""

    make_halves = GivenHalves

    def __init__(self, config: SearchConfig) -> None:
        images = torch.zeros(4 * IMAGES, SIDE, SIDE, 3, dtype=torch.uint8)
        part = Part(images, torch.arange(4 * IMAGES) % CLASSES)
        names = [str(place) for place in range(CLASSES)]
        statistics = ((0.0,) * 3, (1.0,) * 3)
        super().__init__(config, Dataset("given", names, part, part, statistics), CPU)
        self.losses: list[float] = []

    def _supernet_of(self, *args: Any) -> RelaxedNetwork:
        return super()._supernet_of(*args).double()

    def _alpha_step(self, *args: Any) -> None:
        with self._kept("add_alpha_step"):
            super()._alpha_step(*args)

    def _weight_step(self, *args: Any) -> None:
        with self._kept("add_weight_step"):
            super()._weight_step(*args)

    @contextmanager
    def _kept(self, name: str) -> Iterator[None]:
        add = getattr(self._report, name)

        def keep(loss: Tensor, *figures: Tensor) -> None:
            self.losses.append(loss.item())
            add(loss, *figures)

        setattr(self._report, name, keep)
        yield
        delattr(self._report, name)

    def state_by_name(self) -> dict[str, Named]:
        """What `differences` compares, under official names."""
        (group,) = self._optimizer.param_groups
        buffers = copy.deepcopy(self.supernet)
        with torch.no_grad():
            for mine, weight in zip(buffers.weights(), group["params"], strict=True):
                kept = self._optimizer.state[weight].get("momentum_buffer")
                mine.copy_(torch.zeros_like(mine) if kept is None else kept)
        return sorted_out(
            {n: a.detach().clone() for n, a in self.supernet.alphas.named_parameters()},
            official(self.supernet),
            official(buffers),
            self.losses,
        )


CPU = torch.device("cpu")


def search(**changes: Any) -> DoubleSearch:
    """A search of `TINY` and these settings, with `__` for the dot."""
    dotted = {key.replace("__", "."): value for key, value in changes.items()}
    return DoubleSearch(configs.override(SearchConfig(), TINY | dotted))


def sorted_out(
    alphas: Named, tensors: Named, momentum: Named, losses: Iterable[float]
) -> dict[str, Named]:
    """The parts of a state by kind."""
    weights = {n: t for n, t in tensors.items() if "running" not in n}
    return {
        "alphas": alphas,
        "weights": weights,
        "momentum": {n: momentum[n] for n in weights},
        "statistics": {n: t for n, t in tensors.items() if "running" in n},
        "losses": {str(n): torch.tensor(v, dtype=torch.float64) for n, v in enumerate(losses)},
    }


def official(supernet: RelaxedNetwork) -> Named:
    """A copy of weights and running statistics under the official names."""
    if isinstance(supernet, Supernet):
        return official_state.export(supernet) | _auxiliary(supernet)
    from tests.conformance.official_one_cell import renamed

    kept = supernet.state_dict().items()
    return {
        renamed(supernet, name): tensor.clone()
        for name, tensor in kept
        if not re.match(r"alphas\.|.*num_batches_tracked", name)
    }


def _auxiliary(supernet: Supernet) -> Named:
    """The reductions of DARTS-, which stand beside the candidates of an edge."""
    parts = {"straight.weight": "conv_1.weight", "shifted.weight": "conv_2.weight"}
    parts |= {f"norm.running_{part}": f"bn.running_{part}" for part in ("mean", "var")}
    found = {}
    for name, tensor in supernet.state_dict().items():
        place = re.fullmatch(r"cells\.(\d+)\.edges\.(\d+)\.auxiliary\.(.+)", name)
        if place and place[3] in parts:
            found[f"cells.{place[1]}._ops.{place[2]}.aux.{parts[place[3]]}"] = tensor.clone()
    return found


def cells_of(task: DoubleSearch) -> OfficialCells:
    """The independent network of a search in a space with DARTS' cells."""
    space, method = task.config.space, task.config.method
    return OfficialCells(
        task.space.candidates(),
        nodes=space.nodes,
        channels=space.channels,
        layers=space.layers,
        in_channels=3,
        classes=CLASSES,
        partial=method.partial_channels,
        auxiliary=method.auxiliary_skip,
    )


Mix = Callable[[Mapping[str, Tensor]], tuple[Any, ...]]


class Reference:
    """A search by the official rule, from the state that `task` is in, its first step not taken.

    Args:
        task: the search.
        network: independent, with official names; takes images and what `mix` returns.
        mix: the relaxation, from alphas by name.
    """

    def __init__(
        self, task: DoubleSearch, network: nn.Module | None = None, mix: Mix = softmax_mix
    ) -> None:
        self.network = (cells_of(task) if network is None else network).double().train()
        self.mix, self.config = mix, task.config
        given = official(task.supernet)
        own = {n for n in self.network.state_dict() if not n.endswith("num_batches_tracked")}
        assert own == set(given), own ^ set(given)
        self.network.load_state_dict(given, strict=False)
        self.alphas = {
            name: alpha.detach().clone().requires_grad_()
            for name, alpha in task.supernet.alphas.named_parameters()
        }
        weights, alpha = self.config.weights, self.config.alpha
        self.sgd = torch.optim.SGD(
            self.network.parameters(),
            weights.lr,
            momentum=weights.momentum,
            weight_decay=weights.weight_decay,
        )
        self.adam = torch.optim.Adam(
            self.alphas.values(),
            alpha.lr,
            betas=(alpha.beta1, alpha.beta2),
            weight_decay=alpha.weight_decay,
        )
        self.losses: list[float] = []

    def begin_epoch(self, epoch: int) -> None:
        """The learning rate of an epoch (from 1): cosine, DARTS' `train_search`."""
        weights, gone = self.config.weights, (epoch - 1) / self.config.search.epochs
        fall = (1 + math.cos(math.pi * gone)) / 2
        self.sgd.param_groups[0]["lr"] = weights.lr_min + (weights.lr - weights.lr_min) * fall

    def loss(self, of: Batch, mixing: tuple[Any, ...] | None = None) -> Tensor:
        """The cross entropy of a batch, at a mixing or at that of the alphas."""
        images, labels = of
        logits = self.network(images, *(self.mix(self.alphas) if mixing is None else mixing))
        return functional.cross_entropy(logits, labels)

    def alpha_step(
        self, of: Batch, penalty: Callable[[Mapping[str, Tensor]], Tensor] | None = None
    ) -> None:
        """Adam down the gradient of the validation loss and of a regulariser."""
        self.zero()
        loss = self.loss(of)
        self.losses.append(loss.item())
        (loss if penalty is None else loss + penalty(self.alphas)).backward()
        self.adam.step()

    def weight_step(self, of: Batch, mixing: tuple[Any, ...] | None = None) -> None:
        """SGD down the gradient of the training loss, which is clipped over all weights."""
        self.zero()
        loss = self.loss(of, mixing)
        self.losses.append(loss.item())
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), self.config.weights.grad_clip)
        self.sgd.step()

    def zero(self) -> None:
        """Forget all gradients: those of the alpha step reach the weights too, and back."""
        self.sgd.zero_grad()
        self.adam.zero_grad()

    def state_by_name(self) -> dict[str, Named]:
        """What `differences` compares."""
        momentum = {}
        for name, weight in self.network.named_parameters():
            kept = self.sgd.state[weight].get("momentum_buffer")
            momentum[name] = torch.zeros_like(weight) if kept is None else kept.clone()
        tensors = {n: t.detach().clone() for n, t in self.network.state_dict().items()}
        kept = {n: t for n, t in tensors.items() if not n.endswith("num_batches_tracked")}
        alphas = {n: a.detach().clone() for n, a in self.alphas.items()}
        return sorted_out(alphas, kept, momentum, self.losses)


def differences(ours: Any, theirs: Any) -> dict[str, float]:
    """The largest difference of each part, relative to the part's largest number.

    Args:
        ours: a search, or its `state_by_name` of an earlier moment.
        theirs: a reference, or likewise.
    """
    left, right = (s if isinstance(s, dict) else s.state_by_name() for s in (ours, theirs))
    found = {}
    for part, tensors in left.items():
        others = right[part]
        assert set(tensors) == set(others), set(tensors) ^ set(others)
        largest = max((float(t.abs().max()) for t in others.values()), default=0.0)
        apart = max((float((t - others[n]).abs().max()) for n, t in tensors.items()), default=0.0)
        found[part] = apart / largest if largest else apart
    return found


def worst(ours: Any, theirs: Any) -> float:
    """The largest of `differences`."""
    return max(differences(ours, theirs).values())


@contextmanager
def recorded_draws(monkeypatch: Any) -> Iterator[dict[str, list[tuple[float, Tensor]]]]:
    """Keep what the supernet draws: masks with their probability of a one, and noise, in order."""
    drawn: dict[str, list[tuple[float, Tensor]]] = {"masks": [], "noise": []}
    mask, noise = Shard.mask, Shard.noise

    def keep_mask(self: Shard, like: Tensor, keep: float, draws: Any) -> Tensor:
        drawn["masks"].append((keep, mask(self, like, keep, draws)))
        return drawn["masks"][-1][1].clone()

    def keep_noise(self: Shard, like: Tensor, draws: Any) -> Tensor:
        drawn["noise"].append((0.0, noise(self, like, draws)))
        return drawn["noise"][-1][1].clone()

    with monkeypatch.context() as patch:
        patch.setattr(Shard, "mask", keep_mask)
        patch.setattr(Shard, "noise", keep_noise)
        yield drawn


def walk(
    ours: DoubleSearch,
    theirs: Reference,
    epochs: Iterable[int] = (1, 2, 4),
    steps: Iterable[int] = (1,),
    step: Callable[[int, int], None] | None = None,
) -> dict[str, float]:
    """Take the steps of some epochs on both sides and compare them.

    Args:
        ours: a search.
        theirs: its reference.
        epochs: from 1.
        steps: of each epoch, from 1.
        step: takes a step of the reference; the default is first order.
    """

    def plain(epoch: int, number: int) -> None:
        theirs.alpha_step(batch("alpha", epoch, number))
        theirs.weight_step(batch("weights", epoch, number))

    for epoch in epochs:
        ours.begin_epoch(epoch)
        theirs.begin_epoch(epoch)
        for number in steps:
            ours.step(epoch, number)
            (step or plain)(epoch, number)
    return differences(ours, theirs)
