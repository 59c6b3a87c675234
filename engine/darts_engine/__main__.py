"""`python -m darts_engine RUN_DIR [--nproc N] [--strict]`: the engine of a run, or N processes.

The run's lock is taken before anything slow, so that a second engine is refused at once and
watchers see the engine start; torch is imported after that. Every fault that a user can cause ends
as a `RunFailed` event of three lines and an exit status of `ExitCode`. The traceback of any other
fault goes to engine.log.
"""

import contextlib
import errno
import faulthandler
import gc
import os
import platform
import socket
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from darts_engine.compute import out_of_memory
from darts_engine.compute.ranks import Place, end_with_rank_0, spawn_ranks
from darts_engine.run import events, extensions
from darts_engine.run.errors import ExitCode, NotFoundError, RunError, SpaceError
from darts_engine.run.folder import RunFolder, is_run
from darts_engine.run.log import EventLog
from darts_engine.run.settings.config import Config, TrainConfig, to_plain
from darts_engine.run.settings.kept import kept_rules
from darts_engine.run.settings.search_on_text import reads_text, refuse_processes
from darts_engine.run.threads import num_threads
from darts_engine.runner.heartbeat import Heartbeat
from darts_engine.runner.hold import Hold
from darts_engine.runner.inbox import Inbox, Signals

if TYPE_CHECKING:
    import torch

    from darts_engine.data.dataset import Dataset
    from darts_engine.data.text.corpus import Corpus
    from darts_engine.runner.follower import Follower
    from darts_engine.runner.session import Session
    from darts_engine.search.task import Search
    from darts_engine.tables.tables import Tables
    from darts_engine.training.task import Train
    from darts_engine.training.text_task import TrainText

# What a disk that fails, fills up or goes away says.
DISK_FAULTS = (
    errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ESTALE,
    errno.ETIMEDOUT, errno.EMFILE, errno.ENFILE,
)  # fmt: skip


def main(arguments: list[str]) -> int:
    """Run the engine on the folder that the first argument names. Returns: the exit status."""
    _open_closed_streams()
    faulthandler.enable()
    try:
        asked = _parse(arguments)
        place = Place.of_environment()
    except ValueError:
        print("usage: python -m darts_engine RUN_DIR [--nproc N] [--strict]", file=sys.stderr)
        return ExitCode.USAGE
    folder = asked.folder
    if place.rank:
        return _follow(folder, place)
    try:
        if not is_run(folder.path):
            raise NotFoundError("this is no run folder of yours", where=str(folder.path))
        os.umask(0o077)
        hold = Hold(folder.path)
        folder = hold.folder
        signals = Signals()
        signals.install()
        log = EventLog(folder.events, folder.torn_events, within=hold.opened)
        # From here on commands count; those before were meant for an earlier engine. After that the
        # record names this process, which launchers wait for.
        inbox = Inbox(folder, log.append)
        run = hold.enter(log.last_seq)
    except (RunError, OSError) as fault:
        error = fault if isinstance(fault, RunError) else _cannot_start(fault, folder)
        _print(str(error))
        return error.exit_code
    try:
        with spawn_ranks(folder.path, asked.nproc) as place:
            return _run(hold, run.id, log, signals, inbox, place, is_strict=asked.is_strict)
    except RunError as error:
        if not hold.is_lost:
            log.append(events.RunFailed(message=str(error), exit_code=error.exit_code))
        _print(str(error))
        return error.exit_code
    except Exception as error:  # noqa: BLE001  every other fault ends here
        code = ExitCode.OUT_OF_MEMORY if out_of_memory.is_out_of_memory(error) else ExitCode.FAILED
        log.append(events.RunFailed(message=_explain(error, folder), exit_code=code))
        # Without memory there may be no traceback either.
        with contextlib.suppress(MemoryError):
            _print(traceback.format_exc())
        return code
    finally:
        log.close()
        hold.close()


def _open_closed_streams() -> None:
    """Make the null device of standard streams that are closed, as a bare job of cron has them.

    The next file that is opened would take the number of one, and get what is printed there.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(descriptor, True)
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115


class _Asked(NamedTuple):
    """The run, how many processes share it, and whether it must repeat the bits of before."""

    folder: RunFolder
    nproc: int
    is_strict: bool


def _parse(arguments: list[str]) -> _Asked:
    """What the command line asks for; ValueError for a wrong usage."""
    path, *rest = arguments
    is_strict = "--strict" in rest
    if is_strict:
        rest.remove("--strict")
    nproc = 1
    if rest:
        option, number = rest
        nproc = int(number)
        if option != "--nproc" or nproc < 1:
            raise ValueError(option)
    return _Asked(RunFolder(Path(path).resolve()), nproc, is_strict)


def _follow(folder: RunFolder, place: Place) -> int:
    """Run a rank above 0: no lock, no log, no commands. Faults are printed on stderr."""
    end_with_rank_0(place)
    try:
        config = folder.read_config()
        _set_environment(config)
        with _imports_that_stay():
            from darts_engine.runner.follower import Follower

        return _work(config, Follower(folder), Heartbeat(folder), place)
    except RunError as error:
        _print(f"rank {place.rank}: {error}")
        return error.exit_code
    except Exception as error:  # noqa: BLE001  as in `main`
        _print(f"rank {place.rank}: {traceback.format_exc()}")
        return ExitCode.OUT_OF_MEMORY if out_of_memory.is_out_of_memory(error) else ExitCode.FAILED


def _set_environment(config: Config) -> None:
    # Threads that spin while they wait starve a machine with few cores; read by torch at import.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if config.engine.deterministic:
        # Without it CUDA's matrix products refuse to run at all.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


@contextlib.contextmanager
def _imports_that_stay() -> Iterator[None]:
    """Inside, torch is imported without the garbage collector, which passes over it later."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _run(
    hold: Hold,
    run: str,
    log: EventLog,
    signals: Signals,
    inbox: Inbox,
    place: Place,
    *,
    is_strict: bool,
) -> int:
    config = hold.folder.read_config()
    _set_environment(config)
    # Before torch, whose import from a cold disk would otherwise look like a stalled engine.
    heartbeat = Heartbeat(hold.folder)
    heartbeat.start()
    try:
        with _imports_that_stay():
            from darts_engine.runner.session import Session

        kept = config.checkpoint
        session = Session(
            hold,
            log,
            signals,
            inbox,
            keep=kept.keep,
            checkpoint_seconds=kept.checkpoint_seconds,
            is_strict=is_strict,
        )
        return _work(config, session, heartbeat, place, run)
    finally:
        heartbeat.stop()


def _work(
    config: Config,
    session: "Session | Follower",
    heartbeat: Heartbeat,
    place: Place,
    run: str = "",
) -> int:
    """Build the task of the run with this id, restore it, and run it to its end or a stop."""
    from darts_engine.compute import device as devices
    from darts_engine.compute import parallel
    from darts_engine.compute.compiling import compile_forward
    from darts_engine.runner.checkpoint import Origin
    from darts_engine.runner.loop import Loop
    from darts_engine.runner.session import Stopped

    session.report_repairs()
    refuse_processes(config, place.size)
    device = devices.choose(config.engine, place)
    if device.type == "cuda":
        heartbeat.gpu_index = device.index or 0
    # Rank 0 first, so that a data set is downloaded once. The other ranks wait in `join`.
    try:
        data = None if place.rank else _load(config, session)
        tables = None if place.rank else _tables(config, session)
    except Stopped as stop:
        session.emit(events.RunStopped(epoch=0, step=0, global_step=0, reason=stop.reason))
        return stop.exit_code
    session.join(parallel.join(place, device, config.data.batch_size))
    data = data or _load(config, session)
    about = _about(data)
    if config.engine.memory_check:
        _refuse_heavy_weights(config, about, device)
    task = _build(config, data, device, tables)
    memory = _step_memory(task, config, device, session)
    if config.engine.compile:
        compile_forward(task.network, lambda message: session.note(message, "warning"))
    environment = devices.environment(device, config.engine, place)
    session.origin = Origin(task.identity(), environment, run, to_plain(config))
    position = session.restore(task)
    session.emit(
        events.RunStarted(
            name=session.folder.name,
            config=to_plain(config),
            versions=_versions() | extensions.in_use(),
            device=environment["device"],
            threads=num_threads(config.engine.threads, place.local_size),
            pid=os.getpid(),
            host=socket.gethostname(),
            epochs=task.epochs,
            steps_per_epoch=task.steps_per_epoch,
            dataset=config.data.dataset,
            resumed_at_step=position.global_step or None,
            memory_estimate_bytes=memory,
            run=run,
            **about,
            **task.describe(),
        )
    )
    for rule in kept_rules(session.folder.config_as_written(), config):
        session.note(f"this run began with an earlier version and keeps {rule}")
    loop = Loop(task, session, heartbeat, every=config.checkpoint.checkpoint_every)
    try:
        loop.run(position)
    except Stopped as stop:
        session.emit(loop.position.stamp(events.RunStopped, reason=stop.reason))
        session.dismiss(stop.exit_code)
        session.world.leave()
        return stop.exit_code
    session.world.leave()
    return ExitCode.OK


def _load(config: Config, session: "Session | Follower") -> "Dataset | Corpus":
    from darts_engine.data import dataset as datasets
    from darts_engine.data.text import corpus

    if reads_text(config):
        return corpus.read(config.data, config.text, session)
    return datasets.read(config.data, session)


def _about(data: "Dataset | Corpus") -> dict[str, Any]:
    """The fields of `RunStarted` about images or a text."""
    from darts_engine.data.text.corpus import Corpus

    if isinstance(data, Corpus):
        size = len(data.tokens)
        return {"classes": [], "image_shape": [], "unit": "tokens", "vocabulary": size}
    return {"classes": data.classes, "image_shape": list(data.image_shape)}


def _tables(config: Config, session: "Session | Follower") -> "Tables | None":
    from darts_engine.tables.tables import open_tables

    return None if isinstance(config, TrainConfig) else open_tables(config, session)


def _refuse_heavy_weights(config: Config, about: dict[str, Any], device: "torch.device") -> None:
    from darts_engine.memory import text, weights

    if vocabulary := about.get("vocabulary"):
        text.check_weights_fit(config, vocabulary, device)
    else:
        weights.check_weights_fit(config, about["image_shape"], len(about["classes"]), device)


def _build(
    config: Config, data: "Dataset | Corpus", device: "torch.device", tables: "Tables | None"
) -> "Search | Train | TrainText":
    from darts_engine.data.text.corpus import Corpus
    from darts_engine.search.task import Search
    from darts_engine.search.text_task import TextSearch
    from darts_engine.training.task import Train
    from darts_engine.training.text_task import TrainText

    if isinstance(data, Corpus):
        if isinstance(config, TrainConfig):
            return TrainText(config, data, device)
        return TextSearch(config, data, device)
    if isinstance(config, TrainConfig):
        return Train(config, data, device)
    search = Search(config, data, device)
    if tables:
        search.look_up_in(tables)
    return search


def _step_memory(
    task: "Search | Train | TrainText",
    config: Config,
    device: "torch.device",
    session: "Session | Follower",
) -> int | None:
    """Bytes that a step is expected to need; None, and a warning, if that cannot be estimated.

    Raises:
        TooLargeError: there is less memory than that.
    """
    from darts_engine.memory import footprint

    try:
        found = task.footprint()
    except Exception as error:  # noqa: BLE001  a failed estimate must not stop a run
        session.note(f"no estimate of memory: {type(error).__name__}: {error}", "warning")
        return None
    ranks = session.world.size
    batch = min(config.data.batch_size, max(task.describe()["images"].values()))
    images = -(-batch // ranks)
    if config.engine.memory_check:
        footprint.check_step_fits(found, images, device, ranks)
    return found.of(images)


def _versions() -> dict[str, str]:
    import torch

    versions = {"python": platform.python_version(), "torch": str(torch.__version__)}
    if torch.version.cuda:
        versions["cuda"] = torch.version.cuda
    return versions


def _print(text: str) -> None:
    # engine.log may be on a full disk or a folder that is gone.
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr)


def _cannot_start(error: OSError, folder: RunFolder) -> RunError:
    kind = SpaceError if error.errno in (errno.ENOSPC, errno.EDQUOT) else RunError
    return kind(
        f"the run folder cannot be written: {error.strerror}",
        where=str(error.filename or folder.path),
        remedy="free some space or mend the folder's rights, then resume the run",
    )


def _explain(error: Exception, folder: RunFolder) -> str:
    if out_of_memory.is_out_of_memory(error):
        what = out_of_memory.explain()
        remedy = (
            "resume it where there is more memory: its checkpoints are whole; or start it anew "
            "with a smaller --batch-size, --channels or --layers"
        )
    elif isinstance(error, OSError) and error.errno in DISK_FAULTS and error.filename:
        name = errno.errorcode[error.errno]
        what = f"a file cannot be read or written: {error.strerror} ({name}), {error.filename}"
        remedy = "mend the disk or the rights, then resume the run: its checkpoints are whole"
    else:
        what = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        remedy = "this is a fault of darts-tui; the traceback is in engine.log"
    return "\n".join([what[:300], str(folder.engine_log), remedy])


def _leave(code: int) -> None:
    """End at once: `main` has closed everything.

    Taking torch apart takes half a second, and destroying a process group can wait for a rank that
    is gone.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    _leave(main(sys.argv[1:]))
