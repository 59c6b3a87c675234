"""Measures time and memory of a search step by kind of operation.

`python -m darts_engine.programs.profile CONFIG.toml` runs a few steps under torch's profiler, with
modules labelled by their kind of operation. The table is computed from the Chrome trace
(`trace.Tally`), so every figure can be looked up there.
"""

import argparse
import gzip
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile, record_function

from darts_engine.compute import device as devices
from darts_engine.data import dataset as datasets
from darts_engine.layers.depthwise import DepthwiseConv
from darts_engine.programs.trace import (
    AUGMENTATION,
    BETWEEN,
    CONVOLUTION,
    DEPTHWISE,
    MIXING,
    NORM,
    POINTWISE,
    STEP,
    Row,
    Tally,
)
from darts_engine.run.errors import ConfigError, ExitCode, RunError
from darts_engine.run.settings import config as configs
from darts_engine.run.settings.config import SearchConfig
from darts_engine.run.settings.search_on_text import reads_text
from darts_engine.search.halves import Halves
from darts_engine.search.task import Search
from darts_engine.supernet import wide_edges
from darts_engine.supernet.cell import SearchCell
from darts_engine.supernet.relaxed import Batch


class Report(msgspec.Struct, frozen=True):
    """Figures of a mean step by kind of operation, the longest first.

    `ms` is a step's time under the profiler, `plain_ms` without it. Times are the host's, except
    `device_ms`, a GPU's own. `allocated_mb` is the sum of a step's allocations, `peak_mb` the most
    that is allocated at a time.
    """

    device: str
    steps: int
    plain_ms: float
    ms: float
    allocated_mb: float
    peak_mb: float
    device_ms: float
    kinds: list[Row]


# Recording ----------------------------------------------------------------------------------------


class _LabelledHalves(Halves):
    """Halves that mark in the trace where batches are made."""

    def weight_batch(self, epoch: int, step: int) -> Batch:
        with record_function(AUGMENTATION):
            return super().weight_batch(epoch, step)

    def alpha_batch(self, epoch: int, step: int) -> Batch:
        with record_function(AUGMENTATION):
            return super().alpha_batch(epoch, step)


class _LabelledSearch(Search):
    """A search that marks in the trace where batches are made and steps begin."""

    make_halves = _LabelledHalves

    def timed_step(self, number: int) -> float:
        """Seconds of a step, its work on a GPU included."""
        began = time.perf_counter()
        with record_function(STEP):
            self.step(self.config.alpha_start, number % self.steps_per_epoch + 1)
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
        return time.perf_counter() - began


@contextmanager
def _labelled(network: nn.Module) -> Iterator[None]:
    """Label the forward passes of modules in the trace with their kind of operation."""
    inside: list[record_function] = []

    def leave(*_: object) -> None:
        inside.pop().__exit__(None, None, None)

    handles = []
    for module in network.modules():
        kind = _kind_of(module)
        if kind is None:
            continue

        def enter(_module: nn.Module, _inputs: Any, kind: str = kind) -> None:
            inside.append(record_function(kind))
            inside[-1].__enter__()

        handles.append(module.register_forward_pre_hook(enter))
        handles.append(module.register_forward_hook(leave, always_call=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _kind_of(module: nn.Module) -> str | None:
    match module:
        case SearchCell():
            return MIXING
        case DepthwiseConv() | wide_edges.Depthwise():
            return DEPTHWISE
        case nn.BatchNorm2d() | wide_edges.Norm():
            return NORM
        case wide_edges.Pointwise():
            return POINTWISE
        case wide_edges.Composed():
            return CONVOLUTION
        case nn.Conv2d():
            return POINTWISE if module.kernel_size == (1, 1) else CONVOLUTION
    return None


def measure(config: SearchConfig, steps: int, trace: Path | None) -> Report:
    """Profile steps of a search, after three steps of warm-up.

    Args:
        config: of the search; the first epoch in which alpha learns is profiled.
        steps: how many to take the mean of.
        trace: file for the gzipped Chrome trace of the last step; None writes none.

    Raises:
        RunError: the data cannot be read, or this machine has no such device.
        OSError: the trace cannot be written.
    """
    device = devices.choose(config.engine)
    dataset = datasets.read(config.data)
    search = _LabelledSearch(config, dataset, device)
    search.begin_epoch(1)
    activities = [ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    search.timed_step(0)
    plain_s = min(search.timed_step(number) for number in (1, 2))
    tally, seconds = Tally(), 0.0
    # On one host thread a backward pass lies inside the step it belongs to, on a GPU too.
    with (
        tempfile.TemporaryDirectory() as scratch,
        _labelled(search.supernet),
        torch.autograd.set_multithreading_enabled(False),
    ):
        raw = Path(scratch) / "trace.json"
        for number in range(3, 3 + steps):
            with profile(activities=activities, profile_memory=True) as recording:
                seconds += search.timed_step(number)
            recording.export_chrome_trace(str(raw))
            tally.add(raw.read_bytes())
        if trace is not None:
            _compress(raw, trace)
    return _report(tally, device, plain_s, seconds / steps)


def _compress(raw: Path, trace: Path) -> None:
    with raw.open("rb") as source, gzip.open(trace, "wb", compresslevel=3) as target:
        shutil.copyfileobj(source, target)


def _report(tally: Tally, device: torch.device, plain_s: float, step_s: float) -> Report:
    rows = list(tally.rows.values())
    total = sum(row.forward_ms + row.backward_ms for row in rows) or 1.0
    device_total = sum(row.device_ms for row in rows)
    for row in rows:
        of = row.device_ms / device_total if device_total else _host_ms(row) / total
        row.share = round(of, 4)
        for field in ("calls", "forward_ms", "backward_ms", "allocated_mb", "device_ms"):
            setattr(row, field, round(getattr(row, field) / tally.steps, 3))
    return Report(
        device=str(device),
        steps=tally.steps,
        plain_ms=round(1000 * plain_s, 2),
        ms=round(1000 * step_s, 2),
        allocated_mb=round(sum(row.allocated_mb for row in rows), 3),
        peak_mb=round(tally.peak_bytes / 1e6, 3),
        device_ms=round(device_total / tally.steps, 3),
        kinds=sorted(rows, key=lambda row: -row.share),
    )


def _host_ms(row: Row) -> float:
    return row.forward_ms + row.backward_ms


# Printing -----------------------------------------------------------------------------------------


def table(report: Report) -> str:
    """The report as a table for people."""
    on_gpu = report.device_ms > 0
    head = f"{'kind of operation':27}{'calls':>9}{'forward':>10}{'backward':>10}{'ms':>10}"
    lines = [head + f"{'GPU ms':>10}" * on_gpu + f"{'share':>9}{'MB':>10}"]
    for row in report.kinds:
        line = f"{row.kind:27}{row.calls:>9,.0f}{row.forward_ms:>10.2f}{row.backward_ms:>10.2f}"
        line += f"{_host_ms(row):>10.2f}" + f"{row.device_ms:>10.2f}" * on_gpu
        lines.append(line + f"{row.share:>9.1%}{row.allocated_mb:>10.2f}")
    total = f"{'a step':27}{'':29}{sum(map(_host_ms, report.kinds)):>10.2f}"
    total += f"{report.device_ms:>10.2f}" * on_gpu
    lines.append(total + f"{'':9}{report.allocated_mb:>10.2f}")
    lines.append("")
    lines.append(
        f"{report.device}, mean of {report.steps}: {report.ms:.1f} ms a step under the profiler, "
        f"{report.plain_ms:.1f} ms without it; at most {report.peak_mb:.1f} MB allocated at a time"
    )
    lines.append(f"{BETWEEN}: Python, autograd's bookkeeping, and the profiler's own labels")
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Profile, and print a table or JSON. Returns: the exit status."""
    parser = argparse.ArgumentParser(prog="darts-tui profile")
    parser.add_argument("config", type=Path)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--trace", type=Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    try:
        config = configs.read(options.config)
        if not isinstance(config, SearchConfig):
            raise ConfigError("this is no config of a search", where=str(options.config))
        if reads_text(config):
            raise ConfigError(
                "only searches on images are profiled",
                where=f"space {config.space.space}",
                remedy="'darts-tui bench --recurrent' times the steps on text",
            )
        report = measure(config, options.steps, options.trace)
    except RunError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    if options.json:
        print(msgspec.json.format(msgspec.json.encode(report)).decode())
    else:
        print(table(report))
    return ExitCode.OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
