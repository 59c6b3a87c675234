"""Accuracies predicted by the surrogate of NAS-Bench-301 (Zela et al., 2022; arXiv 2008.09777).

The surrogate is a separate package, `nasbench301.load_ensemble(dir).predict(...)`, with models on
disk. The package unpickles them, so they are loaded only where the user names their directory.
"""

import importlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from darts_engine.run.architecture.genotype import CELLS, Genotype
from darts_engine.run.errors import DataError, RunError

# File name of a model of the ensemble; `load_ensemble` finds them below the directory.
MODEL = "*surrogate_model.model"
NODES = 4
OPERATIONS = {
    *("max_pool_3x3", "avg_pool_3x3", "skip_connect"),
    *("sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5"),
}


class _Plain(NamedTuple):
    """A genotype as the package takes it: a named tuple of lists, as DARTS published it."""

    normal: list[tuple[str, int]]
    normal_concat: list[int]
    reduce: list[tuple[str, int]]
    reduce_concat: list[int]


class Surrogate:
    """An ensemble that predicts the validation accuracy of a DARTS genotype on CIFAR-10.

    Args:
        directory: the ensemble, as in `nb_models_1.0/xgb_v1.0`.

    Raises:
        RunError: it is not there, the package is not installed, or it fails to load; the remedy
            is in docs/tables.md.
    """

    def __init__(self, directory: Path) -> None:
        remedy = "see docs/tables.md; the run goes on without"
        if not any(directory.rglob(MODEL)):
            raise DataError(
                "there are no models of nasbench301 here", where=str(directory), remedy=remedy
            )
        try:
            with _undisturbed():
                package = importlib.import_module("nasbench301")
                self._model: Any = package.load_ensemble(str(directory))
        # The package and those it needs may raise anything, SystemExit included.
        except (Exception, SystemExit) as error:  # noqa: BLE001
            raise RunError(
                f"nasbench301 does not load: {type(error).__name__}: {str(error)[:120]}",
                where=str(directory),
                remedy=remedy,
            ) from None

    def predict(self, genotype: Genotype) -> float | None:
        """The mean accuracy of the ensemble in percent, without noise.

        None for a genotype outside the space of the surrogate.

        Raises:
            RunError: the package fails, or its answer is not a percentage.
        """
        if not is_inside(genotype):
            return None
        try:
            with _undisturbed():
                found = self._model.predict(
                    config=_plain(genotype), representation="genotype", with_noise=False
                )
            value = float(found)
        except (Exception, SystemExit) as error:  # noqa: BLE001
            raise RunError(
                f"nasbench301 does not predict: {type(error).__name__}: {str(error)[:120]}"
            ) from None
        if not 0 <= value <= 100:
            raise RunError(f"nasbench301 predicts {value}, which is no percentage")
        return value


def is_inside(genotype: Genotype) -> bool:
    """Whether a genotype is in the space of NAS-Bench-301: two inputs per node, and no `none`."""
    for cell in CELLS:
        parts, concat = genotype.cell(cell)
        if len(parts) != 2 * NODES or any(len(part) != 2 for part in parts):
            return False
        edges = genotype.edges(cell)
        pairs = {(edge.node, edge.input) for edge in edges}
        if len(pairs) != len(edges) or any(edge.operation not in OPERATIONS for edge in edges):
            return False
        if concat != tuple(range(2, 2 + NODES)):
            return False
    return True


def _plain(genotype: Genotype) -> _Plain:
    def edges(cell: str) -> list[tuple[str, int]]:
        return [(edge.operation, edge.input) for edge in genotype.edges(cell)]

    concat = list(range(2, 2 + NODES))
    return _Plain(edges("normal"), concat, edges("reduce"), concat)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Restore the global random states and switches, all of which the package sets."""
    plain, arrays = random.getstate(), np.random.get_state()
    threads, cudnn = torch.get_num_threads(), torch.backends.cudnn
    switches = cudnn.enabled, cudnn.benchmark, cudnn.deterministic
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        random.setstate(plain)
        np.random.set_state(arrays)
        torch.set_num_threads(threads)
        cudnn.enabled, cudnn.benchmark, cudnn.deterministic = switches
