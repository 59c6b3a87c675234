"""The published search methods, as presets of the settings in `methods.py` and other tables.

This file does not import torch: methods are listed without it.
"""

import difflib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from darts_engine.run.architecture.genotype import RECURRENT
from darts_engine.run.errors import NotFoundError


class Preset(NamedTuple):
    """A published method.

    Attributes:
        summary: what it does.
        paper: its source.
        settings: by dotted key.
        in_space: settings that it has in one space only, by the space's name.
    """

    summary: str
    paper: str
    settings: dict[str, Any]
    in_space: Mapping[str, dict[str, Any]] = MappingProxyType({})

    def settings_in(self, space: object) -> dict[str, Any]:
        """Its settings in the space of that name, by dotted key."""
        return self.settings | (self.in_space.get(space, {}) if isinstance(space, str) else {})


# SmoothDARTS and DrNAS search the space of DARTS without `none`, and NAS-Bench-201 with it.
NO_NONE = {"darts": {"space.without_none": True}}


PRESETS: dict[str, Preset] = {
    "darts": Preset(
        "alpha follows the validation loss at the current weights",
        "Liu et al., DARTS, ICLR 2019, arXiv 1806.09055, section 2.3, xi = 0",
        {},
    ),
    "darts-2nd": Preset(
        "alpha follows the validation loss one step of the weights ahead",
        "Liu et al., DARTS, ICLR 2019, arXiv 1806.09055, eq. 6 to 8",
        {"search.order": 2},
    ),
    "pc-darts": Preset(
        "a fraction of the channels passes through the operations; edges have weights too",
        "Xu et al., PC-DARTS, ICLR 2020, arXiv 1907.05737",
        {
            "method.partial_channels": 4,
            "method.edge_normalisation": True,
            "search.alpha_warmup": 0.3,
        },
    ),
    "gdas": Preset(
        "one operation per edge is drawn and computed (straight-through Gumbel-softmax)",
        "Dong and Yang, GDAS, CVPR 2019, arXiv 1910.04465",
        {"method.relaxation": "gumbel", "method.derivation": "joint"},
        {"nasbench201": {"method.gumbel_gradient": "all"}},
    ),
    "sdarts-rs": Preset(
        "the weights learn at mixing weights with uniform noise",
        "Chen and Hsieh, SmoothDARTS, ICML 2020, arXiv 2002.05283",
        {"method.perturbation": "random"},
        NO_NONE,
    ),
    "sdarts-adv": Preset(
        "the weights learn at the worst mixing weights of a box (7 steps of ascent)",
        "Chen and Hsieh, SmoothDARTS, ICML 2020, arXiv 2002.05283",
        {"method.perturbation": "adversarial"},
        NO_NONE,
    ),
    "ms-darts": Preset(
        "the weights learn at a mean shift towards bad mixing weights nearby",
        "MS-DARTS: mean-shift based differentiable architecture search",
        {
            "method.perturbation": "mean-shift",
            "method.radius": 0.25,
            "method.perturbation_steps": 2,
            "method.samples": 3,
            "method.bandwidth": 1.0,
            "search.alpha_warmup": 0.125,
        },
    ),
    "p-darts": Preset(
        "three stages, each deeper and with fewer candidates; skips are dropped out and limited",
        "Chen et al., P-DARTS, ICCV 2019, arXiv 1904.12760",
        {
            "method.schedule": "staged",
            "method.alpha_clip": 5.0,
            "method.derivation": "skip-limited",
        },
    ),
    "fair-darts": Preset(
        "independent gates per operation, driven to 0 or 1",
        "Chu et al., Fair DARTS, ECCV 2020, arXiv 1911.12126",
        {
            "method.relaxation": "sigmoid",
            "method.regulariser": "zero-one",
            "method.derivation": "threshold",
            "space.without_none": True,
            "alpha.beta1": 0.9,
            "alpha.init_scale": 0.0,
        },
    ),
    "r-darts-es": Preset(
        "stops where the Hessian's dominant eigenvalue begins to rise, and goes back before it",
        "Zela et al., R-DARTS, ICLR 2020, arXiv 1909.09656, section 4.3",
        {"method.stop": "eigenvalue", "method.hessian_every": 1},
    ),
    "r-darts-ada": Preset(
        "goes back where that eigenvalue begins to rise, and on with ten times the weight decay",
        "Zela et al., R-DARTS, ICLR 2020, arXiv 1909.09656, section 5",
        {"method.stop": "eigenvalue-adapt", "method.hessian_every": 1},
    ),
    "r-darts-l2": Preset(
        "stronger weight decay flattens the minimum that alpha sees",
        "Zela et al., R-DARTS, ICLR 2020, arXiv 1909.09656, section 5.2",
        {"weights.weight_decay": 81e-4},
        # As many times the usual decay: more would leave nothing of weights that learn at 20.
        {RECURRENT: {"weights.weight_decay": 27 * 5e-7}},
    ),
    "r-darts-dp": Preset(
        "drop path on every edge of the supernet and cutout, both growing over the search",
        "Zela et al., R-DARTS, ICLR 2020, arXiv 1909.09656, section 5.1",
        {"method.edge_drop_path": 0.2, "method.cutout_ramp": True},
    ),
    "darts-plus": Preset(
        "ends when the normal cell keeps two skip connections",
        "Liang et al., DARTS+, 2019, arXiv 1909.06035, criterion 1",
        {"method.stop": "skip-count"},
    ),
    "darts-minus": Preset(
        "an auxiliary skip on every edge takes the training aid out of alpha, then fades",
        "Chu et al., DARTS-, ICLR 2021, arXiv 2009.01027",
        {"method.auxiliary_skip": True},
    ),
    "beta-darts": Preset(
        "a decay on the logsumexp of each edge's alpha",
        "Ye et al., beta-DARTS, CVPR 2022, arXiv 2203.01665",
        {"method.regulariser": "beta-decay"},
    ),
    "sgas": Preset(
        "the surest edge of each cell is decided for good, one after the other",
        "Li et al., SGAS, CVPR 2020, arXiv 1912.00195",
        {"method.schedule": "greedy"},
    ),
    "drnas": Preset(
        "mixing weights drawn from a Dirichlet distribution that alpha shapes",
        "Chen et al., DrNAS, ICLR 2021, arXiv 2006.10355",
        {
            "method.relaxation": "dirichlet",
            "method.stage_lr": "continue",
        },
        NO_NONE,
    ),
    "random": Preset(
        "alpha is drawn once and stays: the baseline that every other method has to beat",
        "Li and Talwalkar, Random search and reproducibility, UAI 2019, arXiv 1902.07638",
        {"method.architect": "random", "alpha.init_scale": 1.0},
    ),
}


def preset(name: str) -> Preset:
    """The preset of that name.

    Raises:
        NotFoundError: there is none. The hint has the most similar name.
    """
    if name not in PRESETS:
        near = difflib.get_close_matches(name, PRESETS, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(PRESETS)}"
        raise NotFoundError(f"there is no method {name!r}", remedy=hint)
    return PRESETS[name]


# What methods set in one space only.
IN_SPACES = sorted(
    {key for one in PRESETS.values() for there in one.in_space.values() for key in there}
)
# The published factor of each regulariser; that of others is the setting's default.
WEIGHTS = {"none": 10.0, "zero-one": 10.0, "beta-decay": 50.0, "anchor-kl": 1e-3}


def weighted(changes: dict[str, Any]) -> dict[str, Any]:
    """Changed settings, dotted, with the published factor of a regulariser that is among them."""
    weight = WEIGHTS.get(str(changes.get("method.regulariser")))
    return changes if weight is None else {"method.regulariser_weight": weight} | changes


def with_preset(plain: dict[str, Any]) -> dict[str, Any]:
    """Add the settings of a search's method to its nested settings; what is set stays.

    A regulariser also brings its published factor.

    Args:
        plain: the settings that were given, without defaults.

    Raises:
        NotFoundError: there is no such method.
    """
    search, space = plain.get("search"), plain.get("space")
    name = search.get("method", "darts") if isinstance(search, dict) else "darts"
    its_space = space.get("space", "darts") if isinstance(space, dict) else "darts"
    out = {key: dict(table) if isinstance(table, dict) else table for key, table in plain.items()}
    for key, value in preset(str(name)).settings_in(its_space).items():
        section, _, field = key.partition(".")
        table = out.setdefault(section, {})
        if isinstance(table, dict):
            table.setdefault(field, value)
    method = out.get("method")
    weight = WEIGHTS.get(str(method.get("regulariser"))) if isinstance(method, dict) else None
    if weight is not None:
        out["method"].setdefault("regulariser_weight", weight)
    return out
