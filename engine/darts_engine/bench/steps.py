"""Time the steps of a search on our supernet, the plain one, and the plain one in channels-last."""

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from darts_engine.bench.plain_search import PlainSearch
from darts_engine.bench.timing import Comparison, Work, clock, compare
from darts_engine.compute import device as devices
from darts_engine.layers.operations import PRIMITIVES
from darts_engine.methods.axes import architect
from darts_engine.networks.derived import Network
from darts_engine.optim import eager
from darts_engine.optim.loss import cross_entropy
from darts_engine.run.architecture.text import published
from darts_engine.run.settings import config as configs
from darts_engine.run.settings.config import SearchConfig
from darts_engine.supernet import official_state
from darts_engine.supernet.plain import PlainSupernet
from darts_engine.supernet.relaxed import Batch
from darts_engine.supernet.supernet import Supernet

CHANNELS, LAYERS, SIZE, CLASSES = 16, 8, 32, 10
CPU = torch.device("cpu")


class OurSearch:
    """Our supernet with its optimizers, and the steps of `search.task.Search`.

    Args:
        supernet: whose weights and alphas move.
        order: of the alpha step, 1 or 2.
    """

    def __init__(self, supernet: Supernet, order: int) -> None:
        self.network = supernet
        config = configs.override(SearchConfig(), {"search.order": order, "weights.lr": 0.025})
        assert isinstance(config, SearchConfig)
        section = config.weights
        self.weights = list(supernet.weights())
        self.sgd = eager.SGD(
            self.weights, section.lr, section.momentum, weight_decay=section.weight_decay
        )
        self.clip = section.grad_clip
        self.method = architect(supernet, config, self.sgd)

    def forward(self, batch: Batch) -> None:
        """A forward pass without gradients."""
        with torch.no_grad():
            cross_entropy(self.network(batch[0]), batch[1])

    def weight_step(self, batch: Batch) -> None:
        """One step of stochastic gradient descent."""
        with torch.no_grad():
            mixing = self.network.alphas.mixing()
        self.sgd.zero_grad()
        cross_entropy(self.network(batch[0], mixing), batch[1]).backward()
        nn.utils.clip_grad_norm_(self.weights, self.clip)
        self.sgd.step()

    def alpha_step(self, train: Batch, valid: Batch) -> None:
        """One alpha step, of the order given to the constructor."""
        self.method.move(self.method.alpha_gradient(valid, train).gradients)


def random_batch(batch: int, *, size: int = SIZE, dtype: torch.dtype = torch.float32) -> Batch:
    """Images (B, 3, size, size) and labels (B,), the same at every call."""
    draws = torch.Generator().manual_seed(batch)
    images = torch.randn(batch, 3, size, size, generator=draws, dtype=dtype)
    return images, torch.randint(CLASSES, (batch,), generator=draws)


def channels_last(batch: Batch) -> Batch:
    """The same batch in channels-last memory, as our data path gives it."""
    return batch[0].contiguous(memory_format=torch.channels_last), batch[1]


def plain_of(supernet: Supernet, *, last: bool) -> PlainSearch:
    """A plain search with the weights and alphas of a supernet; `last` means channels-last."""
    plain = PlainSupernet(PRIMITIVES, 4, CHANNELS, LAYERS, 3, CLASSES)
    plain.load_state_dict(official_state.export(supernet))
    if last:
        devices.place(plain, CPU)
    return PlainSearch(plain, [a.detach() for a in supernet.alphas.parameters()])


def supernet_steps(batch: int, rounds: int, kinds: tuple[str, ...]) -> dict[str, Comparison]:
    """Compare steps at C=16 with 8 cells and 32x32 images.

    Args:
        batch: images of a batch.
        rounds: timed steps of each side.
        kinds: of steps: forward, weight_step, alpha_step_first_order, alpha_step_second_order.
    """
    supernet = Supernet(channels=CHANNELS, layers=LAYERS)
    devices.place(supernet, CPU)
    first, second = OurSearch(supernet, 1), OurSearch(supernet, 2)
    sides = {
        "reference": plain_of(supernet, last=False),
        "channels_last": plain_of(supernet, last=True),
    }
    given = random_batch(batch)
    inputs = {"reference": given, "channels_last": channels_last(given)}
    ours = channels_last(given)
    works: dict[str, dict[str, Work]] = {
        "forward": {"ours": partial(first.forward, ours)},
        "weight_step": {"ours": partial(first.weight_step, ours)},
        "alpha_step_first_order": {"ours": partial(first.alpha_step, ours, ours)},
        "alpha_step_second_order": {"ours": partial(second.alpha_step, ours, ours)},
    }
    for name, plain in sides.items():
        data = inputs[name]
        works["forward"][name] = partial(plain.forward, *data)
        works["weight_step"][name] = partial(plain.weight_step, *data)
        works["alpha_step_first_order"][name] = partial(plain.first_order, *data)
        works["alpha_step_second_order"][name] = partial(plain.second_order, data, data)
    return {kind: compare(works[kind], rounds, clock()) for kind in kinds}


def derived_network(batch: int, rounds: int) -> Comparison:
    """Compare a forward and backward pass of DARTS_V2 with 36 channels and 20 cells.

    The reference is the same network in contiguous memory. Derived cells share nothing, so only
    the memory layout and the dilated convolutions differ.
    """
    genotype = published()["DARTS_V2"].genotype
    networks = {name: Network(genotype) for name in ("ours", "reference")}
    devices.place(networks["ours"], CPU)
    inputs = {"reference": random_batch(batch), "ours": channels_last(random_batch(batch))}

    def work(name: str) -> None:
        images, labels = inputs[name]
        logits, auxiliary = networks[name](images)
        assert auxiliary is not None
        loss = cross_entropy(logits, labels) + 0.4 * cross_entropy(auxiliary, labels)
        torch.autograd.grad(loss, list(networks[name].parameters()))

    return compare({name: partial(work, name) for name in networks}, rounds, clock())


def float64_difference() -> float:
    """The largest difference between our supernet and the plain one, of logits and gradients."""
    supernet = Supernet(channels=4, layers=3, classes=CLASSES).double()
    devices.place(supernet, CPU)
    plain = PlainSupernet(PRIMITIVES, 4, 4, 3, 3, CLASSES).double()
    plain.load_state_dict(official_state.export(supernet))
    images, labels = random_batch(4, size=16, dtype=torch.float64)
    alphas = list(supernet.alphas.parameters())
    ours = supernet(images)
    theirs = plain(images, *[functional.softmax(alpha, 1) for alpha in alphas])
    pairs: list[tuple[Tensor, Tensor]] = [(ours, theirs)]
    pairs += zip(
        torch.autograd.grad(functional.cross_entropy(ours, labels), [*supernet.weights(), *alphas]),
        torch.autograd.grad(
            functional.cross_entropy(theirs, labels), [*plain.parameters(), *alphas]
        ),
        strict=True,
    )
    return max(float((a - b).detach().abs().max()) for a, b in pairs)
