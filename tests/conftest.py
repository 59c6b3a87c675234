"""What all tests share."""

import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from effort import (  # noqa: F401  pytest finds its hooks here
    pytest_addoption,
    pytest_configure,
    pytest_configure_node,
    pytest_report_header,
)
from engine_kit import Engine
from peak_memory import (  # noqa: F401  pytest finds its hooks here
    pytest_runtest_logreport,
    pytest_runtest_makereport,
    pytest_runtest_protocol,
    pytest_terminal_summary,
    pytest_unconfigure,
)

from darts_engine.run.folder import RunFolder

# Before anything imports torch: tests run side by side, and one thread each is enough.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Hundreds of processes would compile the same sources where the environment forbids bytecode.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
# Background jobs of a shell, and nohup, ignore these; what tests start would inherit that.
for _number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, signal.SIG_DFL)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[object]:
    """Keep torch, textual and all tests out of the garbage collector's sight: they stay."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(10_000)
        gc.enable()


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """An empty folder for run folders."""
    path = tmp_path / "runs"
    path.mkdir()
    return path


@pytest.fixture
def start() -> Iterator[Callable[..., Engine]]:
    """Starts engines, and leaves none behind."""
    engines: list[Engine] = []

    def start(run: RunFolder, prepare: Callable[[], None] | None = None) -> Engine:
        engines.append(Engine(run, prepare))
        return engines[-1]

    yield start
    for engine in engines:
        engine.kill()
