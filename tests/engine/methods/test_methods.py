"""Every method and space in a short real search: it moves, derives, and goes on exactly."""

import copy

import pytest
import torch
from parallel_kit import images

from darts_engine.compute import device as devices
from darts_engine.networks import build as networks
from darts_engine.run.architecture import spaces
from darts_engine.run.settings import catalog, presets
from darts_engine.run.settings import config as configs
from darts_engine.run.settings.config import NetworkSection, SearchConfig
from darts_engine.runner.loop import Timing
from darts_engine.runner.position import Position
from darts_engine.search.task import Search

EPOCH = 3
SMALL = {"data.batch_size": 8, "space.channels": 8, "space.layers": 3, "engine.threads": 1,
         "search.epochs": 5, "engine.device": "cpu", "search.alpha_warmup": 0.0}  # fmt: skip
ALL = [(method, "darts", 1) for method in presets.PRESETS]
OF_IMAGES = [space for space in catalog.SPACES if not spaces.reads_text(space)]
ALL += [("darts", space, 1) for space in OF_IMAGES if space != "darts"]
# One of each kind of step and of cell.
QUICK = {"darts", "pc-darts", "gdas", "sdarts-rs", "sgas"}
COMBINED = [
    {"search.method": "pc-darts", "method.perturbation": "mean-shift",
     "method.perturbation_steps": 1},
    {"search.method": "darts-minus", "search.order": 2},
    {"search.method": "gdas", "method.partial_channels": 4},
    {"search.method": "r-darts-dp", "space.space": "s4"},
    {"search.method": "pc-darts", "space.space": "nasnet-like", "method.derivation": "joint"},
]  # fmt: skip


def a_search(**changes: object) -> Search:
    asked = SMALL | {key.replace("__", "."): value for key, value in changes.items()}
    config = configs.override(SearchConfig(), asked)
    assert isinstance(config, SearchConfig)
    return Search(config, images(64), devices.choose(config.engine))


def walk(search: Search, steps: range) -> None:
    search.begin_epoch(EPOCH)
    for step in steps:
        search.step(EPOCH, step)


def equal(one: object, other: object) -> bool:
    if isinstance(one, dict):
        assert isinstance(other, dict)
        return one.keys() == other.keys() and all(equal(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        assert isinstance(other, list | tuple)
        return len(one) == len(other) and all(map(equal, one, other))
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)  # type: ignore[arg-type]
    return one == other


def check(changes: dict[str, object]) -> None:
    search = a_search(**changes)
    before = [a.detach().clone() for a in search.supernet.alphas.parameters()]
    walk(search, range(1, 2))
    halfway = copy.deepcopy(search.state())
    walk(search, range(2, 3))
    for alpha, was in zip(search.supernet.alphas.parameters(), before, strict=True):
        assert alpha.isfinite().all()
        assert torch.equal(alpha, was) == (search.config.method.architect == "random")

    resumed = a_search(**changes)
    resumed.load_state(halfway)
    walk(resumed, range(2, 3))
    assert equal(resumed.state(), search.state())

    position = Position(epoch=EPOCH, step=2, global_step=2)
    reported = search.finish_epoch(position, Timing())
    assert {type(event).__name__ for event in reported} >= {"AlphaSampled", "EpochFinished"}
    genotype = search.space.derive(search.method.strengths())
    section = NetworkSection(genotype=genotype.text(), channels=4, layers=3)
    network = networks.build(section, in_channels=1, classes=10, seed=0)
    network.eval()
    assert network(torch.zeros(2, 1, 8, 8))[0].shape == (2, 10)


@pytest.mark.parametrize(
    ("method", "space", "nodes"),
    [
        case
        if case[0] in QUICK and case[1] in ("darts", "s4", "nasbench201")
        else pytest.param(*case, marks=pytest.mark.slow)
        for case in ALL
    ],
)
def test_it_moves_derives_and_goes_on_bit_for_bit(method: str, space: str, nodes: int):
    changes: dict[str, object] = {"search.method": method, "space.space": space}
    if spaces.SPECS[space].has_free_nodes:
        changes["space.nodes"] = nodes
    check(changes | ({"method.threshold": 0.4} if method == "fair-darts" else {}))


# What has a meaning in cells of one type, apart from darts itself.
REFUSED = {"pc-darts", "p-darts", "sgas"}
ONE_CELL = [(method, "nasbench201") for method in presets.PRESETS if method not in REFUSED]
ONE_CELL += [
    (method, "1shot1-1")
    for method in presets.PRESETS
    if method not in REFUSED | {"darts-minus", "r-darts-dp"}
]


@pytest.mark.parametrize(
    ("method", "space"),
    [
        pytest.param(*pair, marks=[] if pair[0] in ("gdas", "ms-darts") else pytest.mark.slow)
        for pair in ONE_CELL
        if pair[0] != "darts"
    ],
)
def test_methods_work_in_cells_of_one_type(method: str, space: str):
    check({"search.method": method, "space.space": space, "space.channels": 4})


@pytest.mark.slow
@pytest.mark.parametrize("changes", COMBINED, ids=lambda c: " ".join(map(str, c.values())))
def test_axes_of_different_papers_run_together(changes: dict[str, object]):
    check({"space.nodes": 1} | changes)
