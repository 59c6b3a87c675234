"""Recomputing cells changes memory and time, and not one bit of anything else."""

import copy
import weakref

import pytest
import torch
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from darts_engine.compute import device as devices
from darts_engine.methods.architects.first_order import FirstOrder
from darts_engine.methods.architects.second_order import SecondOrder
from darts_engine.run.settings import config as configs
from darts_engine.run.settings.config import AlphaSection, EngineSection, SearchConfig
from darts_engine.search.task import Search
from darts_engine.supernet.supernet import Supernet

CPU = torch.device("cpu")


@pytest.fixture(params=["cpu", "cuda"])
def device(request):
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("there is no GPU here")
    return torch.device(request.param)


def twins(device, dtype=torch.float32, size=8):
    """The same supernet twice, the second of which recomputes; and two batches."""
    torch.manual_seed(1)
    whole = Supernet(channels=4, layers=3, nodes=3, classes=4, alpha_scale=0.5).to(dtype)
    devices.place(whole, device, channels_last=True)
    again = copy.deepcopy(whole)
    again.recomputes = True
    batches = [(torch.randn(6, 3, size, size, dtype=dtype), torch.randint(4, (6,))) for _ in "vt"]
    batches = [
        (x.to(device).contiguous(memory_format=torch.channels_last), y.to(device))
        for x, y in batches
    ]
    return whole, again, batches


def assert_same(mine, other, device):
    for a, b in zip(mine, other, strict=True):
        if device.type == "cpu":
            assert torch.equal(a, b)
        else:
            torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def assert_same_state(whole, again, device):
    assert_same(whole.state_dict().values(), again.state_dict().values(), device)


def test_gradients_in_evaluation_mode_are_the_same(device):
    # Perturbations climb the loss in evaluation mode.
    whole, again, ((x, y), _) = twins(device)
    found = []
    for network in (whole, again):
        network(x)
        network.eval()
        mixing = {c: w.detach().requires_grad_() for c, w in network.alphas.mixing().items()}
        loss = functional.cross_entropy(network(x, mixing), y)
        found.append(torch.autograd.grad(loss, [*mixing.values(), *network.weights()]))
    assert_same(found[0], found[1], device)
    assert_same_state(whole, again, device)


@pytest.mark.parametrize("size", [8, 17])
def test_a_weight_step_is_the_same_and_updates_statistics_once(device, size):
    whole, again, ((x, y), _) = twins(device, size=size)
    results = []
    for network in (whole, again):
        loss = functional.cross_entropy(network(x), y)
        loss.backward()
        results.append([loss.detach(), *(p.grad for p in network.parameters())])
    assert_same(*results, device)
    assert_same_state(whole, again, device)
    assert whole.cells[0].preprocess1.norm.num_batches_tracked == 1


@pytest.mark.parametrize("amp", [False, True])
@pytest.mark.parametrize("order", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_look_of_alpha_is_the_same(device, order, amp):
    whole, again, batches = twins(device)

    def precision():
        return devices.autocast(device, EngineSection(amp=amp))

    looks = []
    for network in (whole, again):
        if order == 1:
            architect = FirstOrder(network, AlphaSection(), precision)
        else:
            sgd = torch.optim.SGD(network.weights(), 0.05, 0.9)
            architect = SecondOrder(
                network, AlphaSection(), precision,
                optimizer=sgd, product="finite-difference", radius=0.01,
            )  # fmt: skip
        looks.append(architect.alpha_gradient(*batches))
    assert_same([looks[0].loss, *looks[0].gradients], [looks[1].loss, *looks[1].gradients], device)
    assert_same_state(whole, again, device)


@pytest.mark.slow
def test_the_exact_product_is_the_same():
    whole, again, batches = twins(CPU, torch.float64)
    gradients = []
    for network in (whole, again):
        sgd = torch.optim.SGD(network.weights(), 0.05, 0.9)
        architect = SecondOrder(
            network, AlphaSection(), lambda: torch.autocast("cpu", enabled=False),
            optimizer=sgd, product="exact", radius=0.01,
        )  # fmt: skip
        gradients.append(architect.alpha_gradient(*batches).gradients)
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, atol=1e-12, rtol=1e-10)
    assert_same_state(whole, again, CPU)


def test_the_setting_reaches_the_supernet_and_the_estimate():
    from darts_engine.data import dataset as datasets

    made = []
    for asked in (False, True):
        changes = {"engine.checkpoint_activations": asked, "space.layers": 8}
        config = configs.override(SearchConfig(), changes)
        made.append(Search(config, datasets.load("digits", 0), CPU))
    assert [search.supernet.recomputes for search in made] == [False, True]
    whole, again = (search.footprint() for search in made)
    assert again.per_image < 0.5 * whole.per_image


class Live(TorchDispatchMode):
    """Bytes of all tensors that live at a time, and the most there were."""

    def __init__(self):
        super().__init__()
        self.now = self.most = 0
        self._known = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else (out,):
            if isinstance(tensor, torch.Tensor):
                self._meet(tensor.untyped_storage())
        return out

    def _meet(self, storage):
        key, size = storage._cdata, storage.nbytes()
        if key not in self._known:
            self.now += size
            self.most = max(self.most, self.now)
            self._known[key] = weakref.ref(storage, lambda _: self._part(key, size))

    def _part(self, key, size):
        self.now -= size
        del self._known[key]


@pytest.mark.slow
def test_it_takes_less_than_half_the_memory():
    most = []
    for recomputes in (False, True):
        supernet = Supernet(channels=4, layers=8)
        supernet.recomputes = recomputes
        with Live() as live:
            supernet(torch.randn(4, 3, 16, 16)).sum().backward()
        most.append(live.most)
    assert most[1] < 0.4 * most[0], most
