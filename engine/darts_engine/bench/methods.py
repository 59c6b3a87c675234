"""`python -m darts_engine.bench.methods`: compare a step of every method with one of `darts`.

All methods take turns on one thread, each with its own supernet of the same size, halfway through
its search: there temperatures and radii are typical and warm-ups are over. A step is everything
that a search does with its two batches, for alpha and for the weights. Memory is measured in a
process for each method.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import torch
from torch import Tensor, nn

from darts_engine.bench.memory import peak_mb
from darts_engine.bench.steps import CPU
from darts_engine.data import dataset as datasets
from darts_engine.data.dataset import Dataset, Part
from darts_engine.run.settings import config as configs
from darts_engine.run.settings.config import SearchConfig
from darts_engine.run.settings.passes import Passes
from darts_engine.run.settings.presets import PRESETS
from darts_engine.search.task import Search

BASE = "darts"


class Scale(NamedTuple):
    """The size of a supernet and its batches.

    Attributes:
        channels: C of the first cell.
        layers: cells.
        batch: images of a batch.
        side: pixels of random square images; 0 stands for the bundled digits.
    """

    channels: int
    layers: int
    batch: int
    side: int

    def text(self) -> str:
        """The scale in words, for a heading."""
        images = f"{self.side}x{self.side} RGB" if self.side else "8x8 digits"
        return f"C={self.channels}, {self.layers} cells, batch {self.batch} of {images}"


SCALES = {"small": Scale(8, 4, 64, 0), "paper": Scale(16, 8, 16, 32)}


class Cost(msgspec.Struct, frozen=True):
    """The step of a method: medians. Ratios are method / darts, of pairs taken in turn."""

    method: str
    seconds: float
    range_s: tuple[float, float]
    ratio: float
    memory_mb: float
    memory_ratio: float
    forward_passes: int
    backward_passes: int


def a_search(method: str, scale: Scale) -> Search:
    """A search of a method at a scale, in the middle epoch."""
    changes = {
        "search.method": method,
        "space.channels": scale.channels,
        "space.layers": scale.layers,
        "data.batch_size": scale.batch,
        "engine.device": "cpu",
        "engine.threads": 1,
    }
    config = configs.override(SearchConfig(), changes)
    assert isinstance(config, SearchConfig)
    search = Search(config, _images(scale), CPU)
    search.begin_epoch(middle(config))
    return search


def middle(config: SearchConfig) -> int:
    """The epoch halfway through a search."""
    return config.search.epochs // 2 + 1


def _images(scale: Scale) -> Dataset:
    if not scale.side:
        return datasets.load("digits", 0)
    draws = torch.Generator().manual_seed(0)
    # Each half is more than the two whole batches that are timed.
    shape = (5 * scale.batch, scale.side, scale.side, 3)
    pixels = torch.randint(256, shape, dtype=torch.uint8, generator=draws)
    part = Part(pixels, torch.arange(len(pixels)) % 10)
    return Dataset("random", [str(c) for c in range(10)], part, part)


def count(search: Search) -> Passes:
    """Take one step and count the passes through the supernet, by hooks on its logits."""
    forward = backward = 0

    def count_backward(_: Tensor) -> None:
        nonlocal backward
        backward += 1

    def count_forward(_module: nn.Module, _inputs: tuple[Tensor, ...], logits: Tensor) -> None:
        nonlocal forward
        forward += 1
        if logits.requires_grad:
            logits.register_hook(count_backward)

    hook = search.supernet.register_forward_hook(count_forward)
    search.step(middle(search.config), 1)
    hook.remove()
    return Passes(forward, backward)


def times(searches: dict[str, Search], rounds: int) -> dict[str, list[float]]:
    """Processor seconds of each method's steps, taken in turns."""
    seconds: dict[str, list[float]] = {name: [] for name in searches}
    for _ in range(rounds):
        for name, search in searches.items():
            began = time.process_time()
            search.step(middle(search.config), 2)
            seconds[name].append(time.process_time() - began)
    return seconds


def measure(scale: str, names: Sequence[str], rounds: int) -> list[Cost]:
    """The costs of methods at a scale, `darts` first.

    Args:
        scale: a key of `SCALES`.
        names: of the methods.
        rounds: timed steps of each.
    """
    torch.set_num_threads(1)
    names = [BASE, *(name for name in names if name != BASE)]
    memory = {name: _in_child(scale, name) for name in names}
    searches = {name: a_search(name, SCALES[scale]) for name in names}
    # Counting takes the first step of each, so that timing starts warm.
    passes = {name: count(search) for name, search in searches.items()}
    seconds = times(searches, rounds)
    return [
        Cost(
            method=name,
            seconds=round(statistics.median(seconds[name]), 5),
            range_s=(round(min(seconds[name]), 5), round(max(seconds[name]), 5)),
            ratio=round(_ratio(seconds[name], seconds[BASE]), 3),
            memory_mb=memory[name],
            memory_ratio=round(memory[name] / memory[BASE], 2),
            forward_passes=passes[name].forward,
            backward_passes=passes[name].backward,
        )
        for name in names
    ]


def _ratio(mine: Sequence[float], base: Sequence[float]) -> float:
    return statistics.median(m / b for m, b in zip(mine, base, strict=True))


def _in_child(scale: str, method: str) -> float:
    command = [sys.executable, "-P", "-m", "darts_engine.bench.methods", "--child", scale, method]
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    return float(json.loads(done.stdout))


def _child(scale: str, method: str) -> None:
    """Print the highest resident memory after two steps, minus that before the search was made."""
    torch.set_num_threads(1)
    before = peak_mb()
    search = a_search(method, SCALES[scale])
    for step in (1, 2):
        search.step(middle(search.config), step)
    print(json.dumps(round(peak_mb() - before, 1)))


def _table(scale: str, found: Sequence[Cost]) -> str:
    lines = [
        f"\n{SCALES[scale].text()}, CPU, one thread, float32, torch {torch.__version__}; medians",
        f"{'method':14}{'s/step':>9}{'x darts':>9}{'MB':>8}{'x darts':>9}  passes",
    ]
    lines += [
        f"{one.method:14}{one.seconds:9.4f}{one.ratio:9.2f}{one.memory_mb:8.0f}"
        f"{one.memory_ratio:9.2f}  {one.forward_passes} forward, {one.backward_passes} backward"
        for one in found
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print a table after each scale, or one JSON object at the end.

    Returns:
        The exit code, 0.
    """
    parser = argparse.ArgumentParser(prog="darts-tui bench --methods")
    parser.add_argument("--quick", action="store_true", help="the small scale only")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="methods, separated by commas")
    parser.add_argument("--child", nargs=2, default=None, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.child:
        _child(*options.child)
        return 0
    names = options.only.split(",") if options.only else list(PRESETS)
    results = {}
    for scale in ("small",) if options.quick else SCALES:
        results[scale] = measure(scale, names, options.rounds)
        if not options.json:
            print(_table(scale, results[scale]), flush=True)
    if options.json:
        print(msgspec.json.encode(results).decode())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
