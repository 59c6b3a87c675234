"""Time several sides alternately in one process, so that a busy machine slows all of them."""

import statistics
import time
from collections.abc import Callable, Mapping

import msgspec
import torch

Work = Callable[[], object]
Clock = Callable[[], float]


class Comparison(msgspec.Struct, frozen=True):
    """Medians in seconds, with the fastest and slowest; `ratio` is reference / ours.

    With one thread they are processor seconds, which other programs do not affect; with more they
    are wall-clock seconds. Where it makes sense there is also the reference in channels-last
    memory, which is a change of one line.
    """

    ratio: float
    ours_s: float
    reference_s: float
    channels_last_reference_s: float | None
    ours_range_s: tuple[float, float]
    reference_range_s: tuple[float, float]
    rounds: int


def clock() -> Clock:
    """The clock for steps of this process: of the processor with one thread, else of the wall."""
    return time.process_time if torch.get_num_threads() == 1 else time.perf_counter


def compare(works: Mapping[str, Work], rounds: int, now: Clock = time.perf_counter) -> Comparison:
    """Run the works alternately and take medians; each runs once before that.

    Args:
        works: by side: "ours", "reference" and, optionally, "channels_last".
        rounds: timed runs of each.
        now: the clock; work in other processes needs that of the wall.
    """
    times: dict[str, list[float]] = {name: [] for name in works}
    for counted in (False, *[True] * rounds):
        for name, work in works.items():
            began = now()
            work()
            if counted:
                times[name].append(now() - began)
    medians = {name: statistics.median(seconds) for name, seconds in times.items()}
    # The median of pairs, so that a drift of the machine's speed cancels out.
    pairs = zip(times["reference"], times["ours"], strict=True)
    ratio = statistics.median(reference / ours for reference, ours in pairs)
    return Comparison(
        ratio=round(ratio, 3),
        ours_s=round(medians["ours"], 5),
        reference_s=round(medians["reference"], 5),
        channels_last_reference_s=_rounded(medians.get("channels_last")),
        ours_range_s=_range(times["ours"]),
        reference_range_s=_range(times["reference"]),
        rounds=rounds,
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 5)


def _range(seconds: list[float]) -> tuple[float, float]:
    return round(min(seconds), 5), round(max(seconds), 5)
