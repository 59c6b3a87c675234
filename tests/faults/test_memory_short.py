"""Memory that runs out, however it is said, ends a run as out of memory, its checkpoint whole."""

import errno
import resource
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from engine_kit import Engine, events_in, make_run, of_type  # noqa: E402

from darts_engine.compute.out_of_memory import is_out_of_memory  # noqa: E402
from darts_engine.run import events  # noqa: E402
from darts_engine.run.errors import ExitCode  # noqa: E402
from darts_engine.runner import checkpoint  # noqa: E402
from darts_engine.search.task import Search  # noqa: E402

GIVEN = [
    MemoryError(),
    RuntimeError("could not create a primitive"),
    RuntimeError("could not create a memory object"),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: "
        "you tried to allocate 4096 bytes. Error code 12 (Cannot allocate memory)"
    ),
    RuntimeError("[enforce fail at alloc_cpu.cpp] data. DefaultCPUAllocator: not enough memory"),
    RuntimeError("std::bad_alloc"),
    RuntimeError("can't start new thread"),
    RuntimeError("Resource temporarily unavailable"),
    RuntimeError("CUDA error: out of memory"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"),
    ImportError("libtorch_cpu.so: failed to map segment from shared object"),
    OSError(errno.ENOMEM, "Cannot allocate memory"),
    BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"),
]
OTHER = [
    RuntimeError("could not create a primitive descriptor for a convolution"),
    RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
    ValueError("out of memory"),
    OSError(errno.EIO, "Input/output error"),
    KeyError("bad_alloc"),
]


def words(error: Exception) -> str:
    return f"{type(error).__name__} {error}"[:60]


@pytest.mark.parametrize("error", GIVEN, ids=words)
def test_what_libraries_say_of_short_memory_is_understood(error: Exception) -> None:
    assert is_out_of_memory(error)
    outer = RuntimeError("Caught an error in a worker")
    outer.__cause__ = error
    assert is_out_of_memory(outer)


@pytest.mark.parametrize("error", OTHER, ids=words)
def test_other_faults_are_not_taken_for_it(error: Exception) -> None:
    assert not is_out_of_memory(error)


def fail(number: int) -> None:
    """For `prepare`: the second epoch ends in the given error."""
    step = Search.step

    def fail_in_the_second_epoch(self: Search, epoch: int, step_number: int) -> int:
        if epoch == 2:
            raise GIVEN[number]
        return step(self, epoch, step_number)

    Search.step = fail_in_the_second_epoch  # type: ignore[method-assign]


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.slow
def test_a_run_that_finds_no_memory_says_so_and_keeps_its_checkpoint(
    runs: Path, start: Callable[..., Engine], number: int
) -> None:
    run = make_run(runs, "short", images=40, data__batch_size=8)
    assert start(run, partial(fail, number)).wait() == ExitCode.OUT_OF_MEMORY
    failed = events_in(run)[-1]
    assert isinstance(failed, events.RunFailed)
    assert failed.exit_code == ExitCode.OUT_OF_MEMORY
    what, where, remedy = failed.message.splitlines()
    assert what == "out of memory"
    assert where == str(run.engine_log)
    assert "--batch-size" in remedy
    (saved,) = of_type(events_in(run), events.CheckpointSaved)
    assert saved.epoch == 1
    assert checkpoint.load(run, checkpoint.read_manifest(checkpoint.newest_first(run)[0]))


def allow_little() -> None:
    """For `prepare`: the address space may grow by 200 MB, less than what training needs."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + 200_000_000
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("is_checked", [True, False], ids=["checked before", "in a step"])
@pytest.mark.slow
def test_a_limited_address_space_ends_as_out_of_memory(
    runs: Path, start: Callable[..., Engine], is_checked: bool
) -> None:
    # Much larger than what is allowed, so that it fails for sure and soon.
    changes = {"space__channels": 64, "space__layers": 8, "data__batch_size": 64}
    run = make_run(runs, "limited", engine__memory_check=is_checked, **changes)
    assert start(run, allow_little).wait() == ExitCode.OUT_OF_MEMORY
    failed = events_in(run)[-1]
    assert isinstance(failed, events.RunFailed)
    assert len(failed.message.splitlines()) == 3
    assert failed.exit_code == ExitCode.OUT_OF_MEMORY
    assert "ulimit -v" in failed.message or is_checked
