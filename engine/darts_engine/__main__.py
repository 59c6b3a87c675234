"""`python -m darts_engine RUN_DIR`: the engine process.

It takes the run's lock before anything slow, so that a second engine is refused at once and
watchers see it start; torch is imported after that. Every fault a user can cause ends as a
`RunFailed` fact of three lines and an exit status of `ExitCode`; the traceback of any other goes to
engine.log.
"""

import contextlib
import errno
import faulthandler
import os
import platform
import socket
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from darts_engine.control import Inbox, Signals
from darts_engine.run import events
from darts_engine.run.config import Config, TrainConfig, to_plain
from darts_engine.run.errors import ExitCode, NotFoundError, RunError, SpaceError
from darts_engine.run.folder import RunFolder, is_run
from darts_engine.run.log import EventLog
from darts_engine.run.threads import num_threads
from darts_engine.system import Heart

if TYPE_CHECKING:
    import torch

    from darts_engine.search import Search
    from darts_engine.session import Session
    from darts_engine.train import Train


def main(arguments: list[str]) -> int:
    """Run the engine on the folder that the one argument names; its exit status."""
    faulthandler.enable()
    if len(arguments) != 1:
        print("usage: python -m darts_engine RUN_DIR", file=sys.stderr)
        return ExitCode.USAGE
    folder = RunFolder(Path(arguments[0]).resolve())
    try:
        if not is_run(folder.path):
            raise NotFoundError("this is no run folder of yours", where=str(folder.path))
        os.umask(0o077)
        lock = folder.take_lock()
        signals = Signals()
        signals.install()
        log = EventLog(folder.events, folder.torn_events)
        # From here on wishes count; those before were meant for an earlier engine. Only then does
        # the record name this process, which is what launchers wait for.
        inbox = Inbox(folder, log.append)
        folder.write_engine()
    except (RunError, OSError) as fault:
        error = fault if isinstance(fault, RunError) else _cannot_start(fault, folder)
        _print(str(error))
        return error.exit_code
    try:
        return _run(folder, log, signals, inbox)
    except RunError as error:
        log.append(events.RunFailed(message=str(error), exit_code=error.exit_code))
        _print(str(error))
        return error.exit_code
    except Exception as error:  # noqa: BLE001  the process's last line of defence
        code = ExitCode.OUT_OF_MEMORY if _is_out_of_memory(error) else ExitCode.FAILED
        log.append(events.RunFailed(message=_explain(error, folder), exit_code=code))
        _print(traceback.format_exc())
        return code
    finally:
        log.close()
        os.close(lock)


def _run(folder: RunFolder, log: EventLog, signals: Signals, inbox: Inbox) -> int:
    config = folder.read_config()
    # Threads that spin while they wait starve a machine with few cores; read by torch at import.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if config.engine.deterministic:
        # Without it CUDA's matrix products refuse to run at all.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # Before torch, whose import from a cold disk would otherwise pass for a stalled engine.
    heart = Heart(folder)
    heart.start()
    try:
        from darts_engine.session import Session

        kept = config.checkpoint
        session = Session(
            folder,
            log,
            signals,
            inbox,
            keep=kept.keep,
            checkpoint_seconds=kept.checkpoint_seconds,
        )
        return _work(config, session, heart)
    finally:
        heart.stop()


def _work(config: Config, session: "Session", heart: Heart) -> int:
    """Build the task, bring it to where it was, and run it to its end or a stop."""
    from darts_engine import device as devices
    from darts_engine.loop import Loop
    from darts_engine.session import Stopped

    session.tell_of_repairs()
    device = devices.choose(config.engine)
    if device.type == "cuda":
        heart.gpu_index = device.index or 0
    task, classes, shape = _build(config, device)
    session.identity = task.identity()
    session.environment = devices.environment(device, config.engine)
    position = session.restore(task)
    session.emit(
        events.RunStarted(
            name=session.folder.name,
            config=to_plain(config),
            versions=_versions(),
            device=session.environment["device"],
            threads=num_threads(config.engine.threads),
            pid=os.getpid(),
            host=socket.gethostname(),
            epochs=task.epochs,
            steps_per_epoch=task.steps_per_epoch,
            dataset=config.data.dataset,
            classes=classes,
            image_shape=list(shape),
            resumed_at_step=position.global_step or None,
            **task.describe(),
        )
    )
    loop = Loop(task, session, heart, every=config.checkpoint.checkpoint_every)
    try:
        loop.run(position)
    except Stopped as stop:
        at = loop.position
        session.emit(
            events.RunStopped(
                epoch=at.epoch, step=at.step, global_step=at.global_step, reason=stop.reason
            )
        )
        return stop.exit_code
    return ExitCode.OK


def _build(
    config: Config, device: "torch.device"
) -> "tuple[Search | Train, list[str], tuple[int, ...]]":
    from darts_engine.data import dataset as datasets
    from darts_engine.search import Search
    from darts_engine.train import Train

    dataset = datasets.load(config.data.dataset, config.data.image_size)
    task: Search | Train
    if isinstance(config, TrainConfig):
        task = Train(config, dataset, device)
    else:
        task = Search(config, dataset, device)
    return task, dataset.classes, dataset.image_shape


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


def _is_out_of_memory(error: Exception) -> bool:
    # By name, because torch itself may be what could not be imported.
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "DefaultCPUAllocator" in str(error)
    )


def _explain(error: Exception, folder: RunFolder) -> str:
    if _is_out_of_memory(error):
        what, remedy = "out of memory", "lower --batch-size, --channels or --layers"
    else:
        what = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        remedy = "this is a fault of darts-tui; the traceback is in engine.log"
    return "\n".join([what[:300], str(folder.engine_log), remedy])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
