"""bfloat16 for the network's convolutions; alpha, softmax, losses and optimizers in float32."""

import pytest
import torch

from darts_engine.compute import device as devices
from darts_engine.data import dataset as datasets
from darts_engine.run.settings import config as configs
from darts_engine.run.settings.config import EngineSection, SearchConfig
from darts_engine.search.task import Search

FLOAT32, BFLOAT16 = torch.float32, torch.bfloat16


@pytest.fixture(params=["cpu", "cuda"])
def device(request):
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("there is no GPU here")
    return torch.device(request.param)


def search_of(device, **changes):
    tiny = {"space.channels": 4, "space.layers": 3, "space.nodes": 2, "data.batch_size": 32}
    config = configs.override(SearchConfig(), {"engine.amp": True, **tiny, **changes})
    search = Search(config, datasets.load("digits", 0), device)
    search.begin_epoch(1)
    return search


@pytest.mark.parametrize("order", [1, 2])
def test_only_the_network_computes_in_bfloat16(device, order):
    search = search_of(device, **{"search.order": order})
    seen = []
    search.supernet.stem[0].register_forward_hook(lambda _m, _i, out: seen.append(out.dtype))
    search.step(1, 1)
    # Second order: two passes in bfloat16, the two of the difference in float32; then the weights'.
    assert seen == [BFLOAT16] * (order - 1) + [BFLOAT16] + [FLOAT32] * 2 * (order - 1) + [BFLOAT16]
    parameters = list(search.supernet.parameters())
    assert {p.dtype for p in parameters} == {FLOAT32}
    assert {weights.dtype for weights in search.method.strengths().values()} == {FLOAT32}
    with devices.autocast(device, search.config.engine):
        assert {w.dtype for w in search.supernet.alphas.mixing().values()} == {FLOAT32}
    for optimizer in (search._optimizer, search.method.architect._optimizer):
        kept = [t for s in optimizer.state.values() for t in s.values() if torch.is_tensor(t)]
        assert {tensor.dtype for tensor in kept} == {FLOAT32}


def test_no_gradient_of_alpha_loses_its_precision(device):
    search = search_of(device)
    batches = search.halves.alpha_batch(1, 1), search.halves.weight_batch(1, 1)
    found = search.method.alpha_gradient(*batches)
    assert found.loss.dtype == FLOAT32
    assert {gradient.dtype for gradient in found.gradients} == {FLOAT32}


@pytest.mark.slow
def test_a_short_search_in_bfloat16_learns(device):
    search = search_of(device)
    losses = []
    for step in range(1, 17):
        search.step(1, step % search.steps_per_epoch + 1)
        if step in (4, 16):
            losses.append(search._report.recent.read()[0])
            search._report.recent.reset()
    assert losses[1] < losses[0]


@pytest.mark.parametrize("deterministic", [False, True])
def test_kernels_are_chosen_for_speed_or_for_repeatability(monkeypatch, deterministic):
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    for flag, where in (("benchmark", cudnn), ("allow_tf32", cudnn), ("allow_tf32", matmul)):
        monkeypatch.setattr(where, flag, getattr(where, flag))
    try:
        devices.choose(EngineSection(device="cpu", threads=1, deterministic=deterministic))
        assert torch.are_deterministic_algorithms_enabled() == deterministic
        assert cudnn.benchmark == cudnn.allow_tf32 == matmul.allow_tf32 == (not deterministic)
    finally:
        torch.use_deterministic_algorithms(False)
