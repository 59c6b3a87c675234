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

if TYPE_CHECKING:
    import torch

    from darts_engine.search import Search
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
        folder.write_engine()
        log = EventLog(folder.events, folder.torn_events)
    except (RunError, OSError) as fault:
        error = fault if isinstance(fault, RunError) else _cannot_start(fault, folder)
        _print(str(error))
        return error.exit_code
    # From here on wishes count; those before were meant for an earlier engine.
    inbox = Inbox(folder, log.append)
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

    from darts_engine import device as devices
    from darts_engine.loop import Loop
    from darts_engine.session import Session, Stopped
    from darts_engine.system import Heart

    device = devices.choose(config.engine)
    heart = Heart(folder, (device.index or 0) if device.type == "cuda" else None)
    heart.start()
    session = Session(
        folder,
        log,
        signals,
        inbox,
        keep=config.checkpoint.keep,
        checkpoint_seconds=config.checkpoint.checkpoint_seconds,
    )
    if log.repaired_bytes:
        session.note(
            f"moved {log.repaired_bytes} bytes of a torn line to {folder.torn_events.name}"
        )
    try:
        task, classes, shape = _build(config, device)
        session.identity = task.identity()
        session.environment = devices.environment(device, config.engine)
        position = session.restore(task)
        session.emit(
            events.RunStarted(
                name=folder.name,
                config=to_plain(config),
                versions=_versions(),
                device=session.environment["device"],
                threads=devices.num_threads(config.engine),
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
        loop = Loop(
            task,
            session,
            heart,
            batch_size=config.data.batch_size,
            every=config.checkpoint.checkpoint_every,
        )
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
    finally:
        heart.stop()
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
