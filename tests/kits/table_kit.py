"""Files in the formats that NAS-Bench-201 is published in, and a package like nasbench301."""

import bz2
import pickle
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch

PLAIN_CELL = "|skip_connect~0|+|none~0|nor_conv_1x1~1|+|none~0|none~1|avg_pool_3x3~2|"
STRONG_CELL = (
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|"
    "skip_connect~2|"
)
CELLS = (PLAIN_CELL, STRONG_CELL)
SEEDS = (777, 888)
# (trained on, measured on): what of the first cell's first seed; the second seed has 1 more, the
# second cell 10 more.
MEASURED = {
    ("cifar10-valid", "x-valid"): 80.0,
    ("cifar10-valid", "ori-test"): 1.0,
    ("cifar10", "ori-test"): 82.5,
    ("cifar100", "x-valid"): 60.25,
    ("cifar100", "x-test"): 61.0,
    ("cifar100", "ori-test"): 2.0,
    ("ImageNet16-120", "x-valid"): 40.0,
    ("ImageNet16-120", "x-test"): 41.0,
}
# Means over both seeds, as the papers report them.
EXPECTED = {
    cell: {
        "cifar10-valid": 80.5 + more,
        "cifar10": 83.0 + more,
        "cifar100-valid": 60.75 + more,
        "cifar100": 61.5 + more,
        "ImageNet16-120-valid": 40.5 + more,
        "ImageNet16-120": 41.5 + more,
    }
    for cell, more in zip(CELLS, (0.0, 10.0), strict=True)
}

PACKAGE = """
import json, pathlib, random
import numpy
import torch

ASKED = []

class Model:
    def __init__(self, base):
        self.base = base

    def predict(self, config, representation, with_noise=True):
        assert representation == "genotype" and with_noise is False
        assert len(config.normal) == len(config.reduce) == 8
        assert config.normal_concat == [2, 3, 4, 5]
        ASKED.append(config)
        random.random(), numpy.random.rand(), torch.rand(1)
        skips = sum(operation == "skip_connect" for operation, _ in config.normal)
        return numpy.float64(self.base - skips)

def load_ensemble(directory):
    random.seed(1), numpy.random.seed(1), torch.manual_seed(1)
    torch.backends.cudnn.deterministic = True
    (member,) = pathlib.Path(directory).rglob("*surrogate_model.model")
    return Model(json.loads(member.read_text())["base"])
"""


def _trainings(cell: str, index: int, epochs: int, more: float) -> dict[str, Any]:
    """One architecture's results with one recipe, as `ArchResults.state_dict` has them."""
    results = {}
    for number, seed in enumerate(SEEDS):
        for dataset in {trained for trained, _ in MEASURED}:
            curves = {
                f"{measured}@{epoch}": figure + more + number - (epochs - 1 - epoch)
                for (trained, measured), figure in MEASURED.items()
                if trained == dataset
                for epoch in range(epochs)
            }
            curve = OrderedDict((epoch, 1.5) for epoch in range(epochs))
            results[dataset, seed] = {
                "name": "infer.tiny",
                "net_state_dict": {"weight": torch.ones(2)} if number else None,
                "train_acc1es": curve,
                "train_acc5es": curve,
                "train_losses": OrderedDict(curve),
                "train_times": None,
                "arch_config": {"arch_str": cell, "class_num": 10},
                "params": 0.1,
                "flop": 15.5,
                "seed": seed,
                "epochs": epochs,
                "latency": [0.01],
                "eval_names": sorted({key.split("@")[0] for key in curves}),
                "eval_acc1es": curves,
                "eval_times": dict.fromkeys(curves, 0.1),
                "eval_losses": dict.fromkeys(curves, 0.5),
            }
    return {
        "arch_index": index,
        "arch_str": cell,
        "all_results": results,
        "dataset_seed": {dataset: list(SEEDS) for dataset, _ in MEASURED},
        "clear_net_done": False,
    }


def _infos(cell: str, index: int, less: str, full: str) -> dict[str, Any]:
    more = 10.0 * index
    return {
        less: _trainings(cell, index, 3, more - 20),
        full: _trainings(cell, index, 5, more),
    }


def write_nasbench201(folder: Path, *, is_zip: bool = False) -> Path:
    """`NAS-Bench-201-v1_1-096897.pth`; published before torch 1.6, so no archive."""
    path = folder / "NAS-Bench-201-v1_1-096897.pth"
    value = {
        "meta_archs": list(CELLS),
        "arch2infos": {i: _infos(c, i, "less", "full") for i, c in enumerate(CELLS)},
        "evaluated_indexes": set(range(len(CELLS))),
    }
    torch.save(value, path, _use_new_zipfile_serialization=is_zip)
    return path


def write_nats_bench(folder: Path) -> Path:
    """`NATS-tss-v1_0-3ffb9.pickle.pbz2`."""
    path = folder / "NATS-tss-v1_0-3ffb9.pickle.pbz2"
    value = {
        "meta_archs": list(CELLS),
        "arch2infos": {i: _infos(c, i, "12", "200") for i, c in enumerate(CELLS)},
        "evaluated_indexes": set(range(len(CELLS))),
    }
    path.write_bytes(bz2.compress(pickle.dumps(value, 4)))
    return path


def write_simple_nats_bench(folder: Path) -> Path:
    """`NATS-tss-v1_0-3ffb9-simple`, a file per architecture."""
    path = folder / "NATS-tss-v1_0-3ffb9-simple"
    path.mkdir()
    meta = {"meta_archs": list(CELLS), "arch2infos": None, "evaluated_indexes": {0, 1}}
    (path / "meta.pickle.pbz2").write_bytes(bz2.compress(pickle.dumps(meta)))
    for index, cell in enumerate(CELLS):
        packed = bz2.compress(pickle.dumps(_infos(cell, index, "12", "200")))
        (path / f"{index:06d}.pickle.pbz2").write_bytes(packed)
    return path


def write_naslib(folder: Path) -> Path:
    """`nb201_all.pickle`, with a curve for one data set and a number for the other."""
    path = folder / "nb201_all.pickle"
    value = {
        cell: {
            "cifar10-valid": {"eval_acc1es": [1.0, EXPECTED[cell]["cifar10-valid"]]},
            "cifar10": {"eval_acc1es": EXPECTED[cell]["cifar10"], "train_losses": [3.0]},
        }
        for cell in CELLS
    }
    path.write_bytes(pickle.dumps(value))
    return path


def put_on_the_path(path: str) -> None:
    """For an engine's `prepare`: packages that are not installed."""
    sys.path.insert(0, path)


def write_surrogate(folder: Path, base: float = 95.0) -> tuple[Path, Path]:
    """A package `nasbench301` to put on the path, and the directory of its models."""
    package, models = folder / "packages", folder / "models" / "xgb_v1.0"
    (package / "nasbench301").mkdir(parents=True)
    (package / "nasbench301" / "__init__.py").write_text(PACKAGE)
    member = models / "ensemble_member_0"
    member.mkdir(parents=True)
    (member / "surrogate_model.model").write_text(f'{{"base": {base}}}')
    return package, models
