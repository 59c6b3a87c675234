"""Stands in for the engine: holds the run, tells a made-up story, obeys commands. Knows no torch.

python fake_engine.py HOW RUN_DIR
"""

import os
import signal
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / part) for part in ("engine", "tests/kits")]

from fake_story import made_up_events  # noqa: E402

from darts_engine.run import commands, events  # noqa: E402
from darts_engine.run.folder import RunFolder  # noqa: E402
from darts_engine.run.log import EventLog  # noqa: E402

PATIENCE_S = 30.0
CODES = {signal.SIGTERM: 143, signal.SIGUSR1: 75}


def main() -> int:
    how, folder = sys.argv[1], RunFolder(Path(sys.argv[2]))
    if how == "refuse":
        print("there is no data set 'x'\nconfig.toml\nuse digits", file=sys.stderr)
        return 5
    if how == "crash":
        raise ValueError("bad \x1b]0;title\x07 luck")
    folder.take_lock()
    folder.write_engine()
    log = EventLog(folder.events, folder.torn_events)
    if how == "fail":
        write_story(log, phase="failed")
        return 6
    if how == "deaf":
        write_story(log, phase="running")
        time.sleep(PATIENCE_S)
        return 1
    if how == "obey":
        # Before the first line: who reads it may send a signal at once.
        received: list[int] = []
        for number in CODES:
            signal.signal(number, lambda number, _: received.append(number))
        write_story(log, phase="running")
        return obey(folder, log, received)
    write_story(log, phase="running" if how == "die" else "finished")
    if how == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    return 0


def write_story(log: EventLog, phase: str) -> None:
    for event in made_up_events(epochs_done=2, epochs=3, phase=phase):
        log.append(event)


def obey(folder: RunFolder, log: EventLog, received: list[int]) -> int:
    place = {"epoch": 1, "step": 1, "global_step": 1}
    done, deadline = 0, time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        lines = folder.commands.read_bytes().splitlines() if folder.commands.exists() else []
        for line in lines[done:]:
            done += 1
            command = commands.decode(line)
            word = type(command).__name__.lower()
            log.append(events.CommandAccepted(id=command.id, command=word, source=command.source))
            if isinstance(command, commands.Checkpoint):
                log.append(
                    events.CommandRejected(id=command.id, command=word, reason="no \x1b room")
                )
                continue
            if isinstance(command, commands.Pause):
                log.append(events.RunPaused(**place, reason="command"))
            if isinstance(command, commands.Resume):
                log.append(events.RunContinued(**place))
            log.append(events.CommandDone(id=command.id, command=word, seconds=0.01))
            if isinstance(command, commands.Stop):
                log.append(events.RunStopped(**place, reason="command"))
                return 0
        if received:
            log.append(events.RunStopped(**place, reason=signal.Signals(received[0]).name))
            return CODES[received[0]]
        time.sleep(0.01)
    return 1


if __name__ == "__main__":
    sys.exit(main())
