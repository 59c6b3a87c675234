"""Facts about each search space, without building it, for `darts-tui spaces`.

A test compares every entry with the space's layout and the parameters of its supernet.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from darts_engine.run import extensions
from darts_engine.run.architecture.derivation import DARTS_OPERATIONS, NONE
from darts_engine.run.architecture.derivation_recurrent import RECURRENT_OPERATIONS
from darts_engine.run.architecture.genotype import RECURRENT

ROBUST = "Zela et al., R-DARTS, ICLR 2020, arXiv 1909.09656, section 3"


ONE_SHOT = "Zela et al., NAS-Bench-1Shot1, ICLR 2020, arXiv 2001.10422, section 3"
ONE_SHOT_OPERATIONS = ("maxpool3x3", "conv3x3_bn_relu", "conv1x1_bn_relu")
NASBENCH201_OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
# Those of the NASNet and AmoebaNet cells, and none.
NASNET_OPERATIONS = (
    "none",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "sep_conv_7x7",
    "conv_7x1_1x7",
)
# Number of parents of each node, the output last.
PARENTS = {
    "1shot1-1": (1, 2, 2, 2, 2),
    "1shot1-2": (1, 1, 2, 2, 3),
    "1shot1-3": (1, 1, 1, 2, 2, 2),
}


# What a space's network reads.
IMAGES, TEXT = "images", "text"
# What a search of recurrent cells begins with, sized for the bundled text and minutes on two cores.
# As in the official code it is plain SGD with a constant rate and clipped gradients, and weights
# hardly decay. A small text is learned in many short steps with little dropout; docs/spaces.md has
# the paper's settings.
RECURRENT_SETTINGS: dict[str, Any] = {
    "data.dataset": "verses",
    "data.batch_size": 32,
    "search.epochs": 5,
    "text.bptt": 12,
    "text.output_dropout": 0.1,
    "text.hidden_dropout": 0.0,
    "text.input_dropout": 0.0,
    "text.embedding_dropout": 0.0,
    "text.eval_batch": 32,
    "weights.lr": 10.0,
    "weights.lr_min": 10.0,
    "weights.momentum": 0.0,
    "weights.weight_decay": 5e-7,
    "weights.grad_clip": 0.25,
    "alpha.lr": 0.005,
    "alpha.beta1": 0.9,
}


class SpaceSpec(NamedTuple):
    """A space at its published size.

    Attributes:
        paper: its source.
        candidates: all candidate operations, in alpha's column order.
        per_edge: candidates of each edge or node.
        parameters: weights of the supernet for 10 classes of RGB images, without alphas; of text
            for 10,000 words and a width of 300.
        cells: names of the alpha matrices.
        nodes: intermediate nodes of a cell.
        channels: C of the first cell, as published; of text the width.
        layers: cells of the supernet, as published.
        inputs: of a cell.
        has_free_nodes: whether another number of nodes may be asked for.
        parents: how many states each node keeps, the output last, where nodes choose them; else
            empty.
        build: of a space that a package adds: takes the search's config and returns the engine's
            `Space`. Only the engine calls it, so torch is imported inside.
        reads: `IMAGES` or `TEXT`.
        settings: what a search in it begins with instead of the defaults, by dotted key.
    """

    paper: str
    candidates: tuple[str, ...]
    per_edge: int
    parameters: int
    cells: tuple[str, ...] = ("normal", "reduce")
    nodes: int = 4
    channels: int = 16
    layers: int = 8
    inputs: int = 2
    has_free_nodes: bool = True
    parents: tuple[int, ...] = ()
    build: Callable[[Any], Any] | None = None
    reads: str = IMAGES
    settings: Mapping[str, Any] = MappingProxyType({})

    @property
    def begins_with(self) -> dict[str, Any]:
        """The settings that the space brings, its number of nodes among them, by dotted key."""
        return {"space.nodes": self.nodes, **self.settings}

    @property
    def has_constant_rate(self) -> bool:
        """Whether the weights' learning rate that it brings stays the same."""
        brought = self.settings
        return "weights.lr" in brought and brought["weights.lr"] == brought.get("weights.lr_min")

    def brought_to(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """What it brings to given settings, all by dotted key; a constant rate is the given one."""
        brought = self.begins_with
        if self.has_constant_rate and "weights.lr" in given:
            brought["weights.lr_min"] = given["weights.lr"]
        return brought

    @property
    def edges(self) -> int:
        """Edges of a cell: one from each input and each earlier node into every node."""
        return sum(range(self.inputs, self.nodes + self.inputs))

    @property
    def choices(self) -> tuple[int, ...]:
        """The nodes that choose parents among the states before them; the output last."""
        return tuple(node for node, count in enumerate(self.parents, 1) if count < node)

    def candidates_per_edge(self, *, without_none: bool) -> int:
        """Candidates of each edge or node, perhaps without `none`."""
        return self.per_edge - (without_none and NONE in self.candidates)

    @property
    def alphas(self) -> int:
        """Number of entries of alpha."""
        if self.parents:
            return self.nodes * self.per_edge + sum(self.choices)
        return len(self.cells) * self.edges * self.per_edge


def _one_shot(name: str, nodes: int, parameters: int) -> SpaceSpec:
    return SpaceSpec(
        ONE_SHOT,
        ONE_SHOT_OPERATIONS,
        3,
        parameters,
        cells=("operations", "parents"),
        nodes=nodes,
        layers=9,
        inputs=1,
        has_free_nodes=False,
        parents=PARENTS[name],
    )


SPECS: dict[str, SpaceSpec] = {
    "darts": SpaceSpec(
        "Liu et al., DARTS, ICLR 2019, arXiv 1806.09055, section 3.1.1",
        DARTS_OPERATIONS,
        8,
        1_930_618,
    ),
    "s1": SpaceSpec(
        ROBUST,
        (
            "max_pool_3x3",
            "avg_pool_3x3",
            "skip_connect",
            "sep_conv_3x3",
            "dil_conv_3x3",
            "dil_conv_5x5",
        ),
        2,
        405_146,
        has_free_nodes=False,
    ),
    "s2": SpaceSpec(ROBUST, ("skip_connect", "sep_conv_3x3"), 2, 665_466),
    "s3": SpaceSpec(ROBUST, ("none", "skip_connect", "sep_conv_3x3"), 3, 665_466),
    "s4": SpaceSpec(ROBUST, ("noise", "sep_conv_3x3"), 2, 624_506),
    "1shot1-1": _one_shot("1shot1-1", 4, 1_101_402),
    "1shot1-2": _one_shot("1shot1-2", 4, 1_101_402),
    "1shot1-3": _one_shot("1shot1-3", 5, 1_509_594),
    "nasbench201": SpaceSpec(
        "Dong and Yang, NAS-Bench-201, ICLR 2020, arXiv 2001.00326, section 2",
        NASBENCH201_OPERATIONS,
        5,
        1_692_826,
        cells=("cell",),
        nodes=3,
        layers=15,
        inputs=1,
        has_free_nodes=False,
    ),
    "nasnet-like": SpaceSpec(
        "Zoph et al., NASNet, CVPR 2018, arXiv 1707.07012, section 3; operations as in the cells "
        "of NASNet-A and AmoebaNet-A",
        NASNET_OPERATIONS,
        8,
        7_585_786,
        nodes=5,
    ),
    RECURRENT: SpaceSpec(
        "Liu et al., DARTS, ICLR 2019, arXiv 1806.09055, section 3.1.2 and appendix A.1",
        RECURRENT_OPERATIONS,
        5,
        4_810_000,
        cells=(RECURRENT,),
        nodes=8,
        channels=300,
        layers=1,
        inputs=1,
        reads=TEXT,
        settings=MappingProxyType(RECURRENT_SETTINGS),
    ),
}


def spec_of(name: str) -> SpaceSpec | None:
    """The description of a space, built in or added by a package; None where there is no such.

    Raises:
        ExtensionError: the package that adds it cannot be imported, or adds something else.
    """
    if name in SPECS:
        return SPECS[name]
    extension = extensions.find(extensions.SPACES, name)
    if extension is None:
        return None
    found = extension.load()
    if not isinstance(found, SpaceSpec) or found.build is None:
        raise extension.refused("is no SpaceSpec with a build", "see docs/extending.md")
    return found


def reads_text(name: str) -> bool:
    """Whether the space of this name is one of networks that read text."""
    spec = spec_of(name)
    return spec is not None and spec.reads == TEXT


def with_own_settings(plain: dict[str, Any]) -> dict[str, Any]:
    """A search's nested settings with what its space brings, where nothing else is set.

    A rate that the space keeps constant stays so when only its beginning is set.

    Args:
        plain: what was asked so far, and nothing that is only a default.
    """
    space = plain.get("space")
    name = space.get("space") if isinstance(space, dict) else None
    spec = spec_of(name) if isinstance(name, str) else None
    if spec is None:
        return plain
    out = {key: dict(table) if isinstance(table, dict) else table for key, table in plain.items()}
    for key, value in spec.brought_to(_dotted(out)).items():
        section, _, field = key.partition(".")
        table = out.setdefault(section, {})
        if isinstance(table, dict):
            table.setdefault(field, value)
    return out


def _dotted(plain: Mapping[str, Any]) -> dict[str, Any]:
    tables = {section: table for section, table in plain.items() if isinstance(table, dict)}
    return {f"{s}.{field}": value for s, table in tables.items() for field, value in table.items()}
