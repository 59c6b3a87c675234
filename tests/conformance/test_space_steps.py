"""Steps of first order in every space, beside the rules of its paper. See `steps_kit`."""

import pytest
from tests.conformance.official_one_cell import Official101, Official201, mix_101, mix_201
from tests.conformance.steps_kit import CLASSES, Reference, batch, recorded_draws, search, walk
from torch import nn

# Whole steps of searches, or thousands of damaged inputs: the quick part does without them.
pytestmark = pytest.mark.slow

CLOSE = 1e-12

# Edge by edge, `|` between nodes: the two candidates of each edge of S1 (R-DARTS' code).
S1 = {
    "normal": """skip dil3, skip dil5 | skip dil5, skip sep3, skip dil3
        | max skip, skip sep3, skip sep3, skip dil3
        | skip sep3, max skip, skip dil3, dil3 dil5, dil3 dil5""",
    "reduce": """max avg, max dil3 | max avg, max avg, skip dil5
        | max avg, max sep3, skip dil3, skip dil5
        | max avg, max avg, skip dil5, skip dil5, skip dil5""",
}
LONG = {
    "skip": "skip_connect",
    "max": "max_pool_3x3",
    "avg": "avg_pool_3x3",
    "sep3": "sep_conv_3x3",
    "dil3": "dil_conv_3x3",
    "dil5": "dil_conv_5x5",
}
SAME_ON_EVERY_EDGE = {
    "darts": "none max_pool_3x3 avg_pool_3x3 skip_connect sep_conv_3x3 sep_conv_5x5 dil_conv_3x3 "
    "dil_conv_5x5",
    "s2": "skip_connect sep_conv_3x3",
    "s3": "none skip_connect sep_conv_3x3",
    "s4": "noise sep_conv_3x3",
}


@pytest.mark.parametrize("space", ["s1", *SAME_ON_EVERY_EDGE])
def test_candidates_of_the_spaces_with_the_cells_of_darts(space):
    """Section 3 of R-DARTS (arXiv 1909.09656), and of DARTS, in the columns' order."""
    if space == "s1":
        expected = {
            cell: [
                [LONG[name] for name in pair.split()] for pair in text.replace("|", ",").split(",")
            ]
            for cell, text in S1.items()
        }
    else:
        edge = SAME_ON_EVERY_EDGE[space].split()
        expected = {"normal": [edge] * 14, "reduce": [edge] * 14}
    ours = search(space__space=space, space__nodes=4, space__channels=2)
    assert ours.space.candidates() == expected


@pytest.mark.parametrize("space", ["s1", "s2", "s3", "nasnet-like"])
def test_spaces_with_the_cells_of_darts(space):
    ours = search(space__space=space, space__nodes=4 if space == "s1" else 2)
    found = walk(ours, Reference(ours))
    assert max(found.values()) < CLOSE, found


def test_noise_of_s4(monkeypatch):
    """Standard normal noise instead of the input, drawn for each edge and image."""
    ours = search(space__space="s4", space__nodes=2)
    theirs = Reference(ours)
    chance, count = theirs.network.chance, []

    with recorded_draws(monkeypatch) as drawn:

        def step(epoch, number):
            chance.noise.extend(noise for _, noise in drawn["noise"])
            count.append(len(drawn["noise"]))
            drawn["noise"].clear()
            theirs.alpha_step(batch("alpha", epoch, number))
            theirs.weight_step(batch("weights", epoch, number))
            assert not chance.noise

        found = walk(ours, theirs, step=step)
    assert max(found.values()) < CLOSE, found
    # Two passes a step through three cells of five edges.
    assert count == [2 * 3 * 5] * 3


def test_nasbench201():
    """One alpha for all cells; a convolution of an edge has a bias, its norm has no parameters."""
    ours = search(space__space="nasbench201", space__nodes=3)
    network = Official201(channels=4, each=1, classes=CLASSES)
    theirs = Reference(ours, network, mix_201)
    assert any(name.endswith("edges.1<-0.2.op.1.bias") for name in network.state_dict())
    found = walk(ours, theirs)
    assert max(found.values()) < CLOSE, found


def test_the_official_codes_of_nasbench201_count_alphas_gradient_when_they_clip():
    """There alpha is a parameter of the network whose parameters are clipped, unlike in DARTS.

    Ours clips the weights' gradient alone, as in DARTS. The rest of the official step is the same.
    """
    settings = {"weights__grad_clip": 0.1, "weights__weight_decay": 0.0}
    ours = search(space__space="nasbench201", space__nodes=3, **settings)
    kept, official = (
        Reference(ours, Official201(channels=4, each=1, classes=CLASSES), mix_201) for _ in "ko"
    )

    def step(epoch, number):
        kept.alpha_step(batch("alpha", epoch, number))
        kept.weight_step(batch("weights", epoch, number))
        official.alpha_step(batch("alpha", epoch, number))
        official.zero()
        official.loss(batch("weights", epoch, number)).backward()
        both = [*official.network.parameters(), *official.alphas.values()]
        nn.utils.clip_grad_norm_(both, 0.1)
        official.sgd.step()

    found = walk(ours, kept, epochs=(1,), step=step)
    assert max(found.values()) < CLOSE, found
    longer, shorter = (side.state_by_name()["momentum"] for side in (ours, official))
    ratios = [
        float((shorter[name] / step).mean())
        for name, step in longer.items()
        if name.startswith(("stem", "classifier"))
    ]
    assert max(ratios) - min(ratios) < 1e-12
    assert 0.99 < ratios[0] < 0.9999


@pytest.mark.parametrize(("space", "nodes"), [("1shot1-1", 4), ("1shot1-2", 4), ("1shot1-3", 5)])
def test_1shot1(space, nodes):
    """Shares of operations, of the states before a node, and of the states that the output takes.

    Of space 1, the first two nodes choose no parents; of the others, the first.
    """
    ours = search(space__space=space, space__nodes=nodes)
    network = Official101(nodes=nodes, channels=4, layers=3, classes=CLASSES)
    theirs = Reference(ours, network, mix_101)
    first = 3 if space == "1shot1-1" else 2
    choosing = {f"parents{node}" for node in range(first, nodes + 2)}
    assert set(theirs.alphas) == {"operations", *choosing}
    found = walk(ours, theirs)
    assert max(found.values()) < CLOSE, found


def test_the_published_momentum_of_1shot1_leaves_out_the_last_norm():
    """The code gives its norms 0.997, and the one behind the last cell torch's 0.1."""
    ours = search(space__space="1shot1-2", space__nodes=4, space__bn_momentum=0.997)
    network = Official101(nodes=4, channels=4, layers=3, classes=CLASSES)
    for name, module in network.named_modules():
        if isinstance(module, nn.BatchNorm2d) and not name.startswith("postprocess"):
            module.momentum = 0.997
    found = walk(ours, Reference(ours, network, mix_101))
    assert max(found.values()) < CLOSE, found
