"""`--compile`: the same numbers and names, and a run that goes on where compiling fails."""

import copy

import pytest
import torch
from torch import nn

from darts_engine.compute.compiling import compile_forward
from darts_engine.layers.depthwise import DepthwiseConv
from darts_engine.layers.operations import ConvNorm
from darts_engine.run.errors import ConfigError
from darts_engine.run.settings import config as configs
from darts_engine.run.settings.config import SearchConfig
from darts_engine.supernet.supernet import Supernet


@pytest.fixture
def twins():
    plain = nn.Sequential(ConvNorm(3, 4, True), nn.ReLU(), DepthwiseConv(4, 3, 1, 1))
    return plain, copy.deepcopy(plain), torch.randn(4, 3, 8, 8)


def broken(_graph, _inputs):
    raise RuntimeError("no compiler here\nand a long story")


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_supernet_compiles_into_the_same_logits():
    # Every kind of operation once: each is one more graph to trace.
    some = [
        ("none", "max_pool_3x3", "skip_connect", "sep_conv_3x3"),
        ("none", "avg_pool_3x3", "skip_connect", "dil_conv_3x3"),
    ]
    names = {"normal": some, "reduce": some}
    compiled, warnings = Supernet(channels=2, layers=3, nodes=1, names=names), []
    x = torch.randn(4, 3, 8, 8)
    expected = compiled(x)
    compile_forward(compiled, warnings.append, backend="eager")
    torch.testing.assert_close(compiled(x), expected)
    assert not warnings


@pytest.mark.filterwarnings("default")
def test_a_compiled_network_computes_the_same_under_the_same_names(twins):
    plain, compiled, x = twins
    warnings = []
    compile_forward(compiled, warnings.append, backend="eager")
    outputs = []
    for network in (plain, compiled):
        out = network(x)
        out.sum().backward()
        outputs.append(out)
    torch.testing.assert_close(*outputs)
    assert list(plain.state_dict()) == list(compiled.state_dict())
    for mine, other in zip(plain.parameters(), compiled.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad)
    for mine, other in zip(plain.buffers(), compiled.buffers(), strict=True):
        torch.testing.assert_close(mine, other)
    assert not warnings


@pytest.mark.filterwarnings("default")
def test_where_compiling_fails_the_network_goes_on_and_says_why_once(twins):
    plain, compiled, x = twins
    warnings = []
    compile_forward(compiled, warnings.append, backend=broken)
    expected = [plain(x) for _ in range(2)]
    for value in expected:
        torch.testing.assert_close(compiled(x), value)
    (reported,) = warnings
    assert "no compiler here" in reported
    assert "\n" not in reported


@pytest.mark.filterwarnings("default")
def test_faults_of_the_network_itself_are_not_hidden(twins):
    _, compiled, _ = twins
    warnings = []
    compile_forward(compiled, warnings.append, backend="eager")
    with pytest.raises(Exception, match="channels"):
        compiled(torch.randn(4, 5, 8, 8))


def test_what_cannot_be_compiled_is_refused():
    twice = {"search.order": 2, "search.hvp": "exact", "engine.compile": True}
    with pytest.raises(ConfigError, match="differentiated twice"):
        configs.override(SearchConfig(), twice)
