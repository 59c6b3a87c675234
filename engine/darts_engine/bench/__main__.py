"""`python -m darts_engine.bench [--quick] [--floor] [--json]`: measure claims of speed.

Our supernet and the plain one (`supernet/plain.py`) take turns in one process.
"""

import argparse
import sys
from typing import Any

import msgspec
import torch

from darts_engine.bench import augmentation, floor, memory, steps
from darts_engine.bench.timing import Comparison

STEPS = ("forward", "weight_step", "alpha_step_first_order", "alpha_step_second_order")


def main(arguments: list[str]) -> int:
    """Measure, and print a table row by row, or one JSON object at the end.

    Returns:
        The exit code, 0.
    """
    parser = argparse.ArgumentParser(prog="darts-tui bench")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--floor", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    table = _Table(silent=options.json)
    torch.set_num_threads(1)
    results = _measure(16, 1, 3, table)
    if options.floor:
        results["floor"] = floor.measure(16, results["forward"], results["weight_step"])
        table.floor(results["floor"])
    if not options.quick:
        results["more"] = {}
        for batch, threads in ((16, 2), (64, 1), (64, 2)):
            torch.set_num_threads(threads)
            table.heading(f"batch {batch}, threads {threads}")
            found = steps.supernet_steps(batch, 3, STEPS)
            for name, comparison in found.items():
                table.row(name, comparison)
            results["more"][f"batch {batch}, threads {threads}"] = found
    if options.json:
        print(msgspec.json.encode(results).decode())
    return 0


def _measure(batch: int, threads: int, rounds: int, table: "_Table") -> dict[str, Any]:
    """What a quick and a full benchmark both measure, at one batch size."""
    table.heading(f"batch {batch}, threads {threads}")
    results: dict[str, Any] = {}
    for name in STEPS:
        results |= steps.supernet_steps(batch, rounds, (name,))
        table.row(name, results[name])
    results["derived_network"] = steps.derived_network(batch, rounds)
    table.row("derived_network", results["derived_network"])
    results["augmentation"] = augmentation.measure(1)
    table.row("augmentation", results["augmentation"])
    used = memory.measure(64)
    results["weight_step_memory"] = used
    table.print_line(
        f"{'weight_step_memory':26}{used.ratio:6.2f}   ours {used.ours_mb:7.0f} MB"
        f"   reference {used.reference_mb:7.0f} MB   channels-last"
        f" {used.channels_last_reference_mb:7.0f} MB   (batch {used.batch}, ours / reference)"
    )
    results["float64_max_difference"] = steps.float64_difference()
    table.print_line(f"{'float64_max_difference':26}{results['float64_max_difference']:.1e}")
    results["machine"] = {
        "torch": str(torch.__version__),
        "threads": threads,
        "batch": batch,
        "rounds": rounds,
        "cpu": torch.backends.cpu.get_cpu_capability(),
    }
    return results


class _Table:
    """Prints rows as they are measured, unless JSON is wanted."""

    def __init__(self, *, silent: bool) -> None:
        self._silent = silent

    def print_line(self, text: str) -> None:
        if not self._silent:
            print(text, flush=True)

    def heading(self, what: str) -> None:
        self.print_line(
            f"\n{what}, C={steps.CHANNELS}, {steps.LAYERS} cells, {steps.SIZE}x{steps.SIZE}, CPU, "
            f"float32, torch {torch.__version__}; medians of seconds (fastest to slowest)"
        )

    def row(self, name: str, found: Comparison) -> None:
        last = found.channels_last_reference_s
        self.print_line(
            f"{name:26}{found.ratio:6.2f}x  ours {_seconds(found.ours_s, found.ours_range_s)}"
            f"   reference {_seconds(found.reference_s, found.reference_range_s)}"
            + (f"   channels-last {last:7.3f}" if last is not None else "")
        )

    def floor(self, found: floor.Floor) -> None:
        machine = found.machine
        self.print_line(
            f"\nfloor: matrix product {machine.matrix_gflop_per_s:.0f} and convolution"
            f" {machine.convolution_gflop_per_s:.0f} GFLOP/s, copy {machine.copy_gb_per_s:.0f} GB/s"
        )
        for name, step in (("forward", found.forward), ("weight_step", found.weight_step)):
            self.print_line(
                f"{name:26}{step.gflop:6.1f} GFLOP {step.operations_floor_s:.3f} s   {step.gb:.1f}"
                f" GB {step.bytes_floor_s:.3f} s   ours {step.ours_s:.3f} s, floor"
                f" {step.fraction:.0%} of it"
            )


def _seconds(median: float, span: tuple[float, float]) -> str:
    return f"{median:7.3f} ({span[0]:.3f} to {span[1]:.3f})"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
