"""`darts-tui doctor`: checks the machine, the terminal and the runs folder, and prints remedies.

No check imports torch: versions come from package metadata, and GPUs from the driver.
"""

import fcntl
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from darts_tui.console.event_text import human_bytes
from darts_tui.console.locale_of import encoding
from darts_tui.console.safe_text import clean

OK, NOTE, PROBLEM = "ok", "note", "problem"
LOW_DISK_BYTES = 2_000_000_000
SMALLEST_TERMINAL = (80, 24)


class Finding(NamedTuple):
    """The result of one check.

    Attributes:
        name: of the check.
        level: "ok", "note" or "problem".
        text: what was found.
        remedy: what to do; empty where nothing needs doing.
    """

    name: str
    level: str
    text: str
    remedy: str = ""


def examine(runs: Path, environment: Mapping[str, str] = os.environ) -> list[Finding]:
    """The results of all checks, in the order they are printed."""
    checks: tuple[Callable[[], Finding], ...] = (
        python,
        torch,
        gpu,
        graphviz,
        lambda: terminal(environment),
        lambda: colours(environment),
        lambda: connection(environment),
        lambda: unicode(environment),
        lambda: runs_folder(runs),
        lambda: locks(runs),
        lambda: disk(runs),
        lambda: logout(environment),
    )
    return [check() for check in checks]


def python() -> Finding:
    """The interpreter."""
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding("python", OK, f"{version} in {sys.prefix}")


def torch() -> Finding:
    """The installed PyTorch, without importing it."""
    try:
        return Finding("torch", OK, metadata.version("torch"))
    except metadata.PackageNotFoundError:
        return Finding("torch", PROBLEM, "not installed", "pip install 'torch>=2.10'")


def gpu() -> Finding:
    """The GPUs that NVIDIA's driver reports."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return Finding("gpu", NOTE, "no NVIDIA driver; runs use the CPU", "--device mps on a Mac")
    try:
        cards = []
        for place in range(pynvml.nvmlDeviceGetCount()):
            card = pynvml.nvmlDeviceGetHandleByIndex(place)
            memory = pynvml.nvmlDeviceGetMemoryInfo(card)
            free, total = human_bytes(memory.free), human_bytes(memory.total)
            cards.append(f"{pynvml.nvmlDeviceGetName(card)}, {free} of {total} free")
    except pynvml.NVMLError as error:
        return Finding("gpu", NOTE, f"the driver does not answer: {error}", "try nvidia-smi")
    finally:
        pynvml.nvmlShutdown()
    return Finding("gpu", OK if cards else NOTE, "; ".join(cards) or "the driver sees no card")


def graphviz() -> Finding:
    """The program or library that draws cells."""
    dot = shutil.which("dot")
    if dot:
        return Finding("graphviz", OK, f"dot is {dot}")
    if find_spec("pygraphviz") is not None:
        return Finding("graphviz", OK, "pygraphviz draws; there is no dot program")
    return Finding(
        "graphviz",
        NOTE,
        "neither dot nor pygraphviz: cells are exported as DOT files only",
        "pip install pygraphviz, or install Graphviz",
    )


def terminal(environment: Mapping[str, str]) -> Finding:
    """Kind and size of the terminal."""
    term = environment.get("TERM", "")
    if not sys.stdout.isatty():
        return Finding("terminal", NOTE, "stdout is not a terminal; progress is printed as lines")
    columns, rows = shutil.get_terminal_size()
    text = f"TERM={term or 'unset'}, {columns}x{rows}"
    if term in ("", "dumb"):
        remedy = "set TERM, for example to xterm-256color; until then progress is lines"
        return Finding("terminal", NOTE, text, remedy)
    if columns < SMALLEST_TERMINAL[0] or rows < SMALLEST_TERMINAL[1]:
        return Finding("terminal", NOTE, text, "the dashboard wants at least 80x24")
    return Finding("terminal", OK, text)


def colours(environment: Mapping[str, str]) -> Finding:
    """How many colours the terminal reports."""
    if environment.get("NO_COLOR"):
        return Finding("colours", NOTE, "NO_COLOR is set; values are shown by digits and shades")
    if environment.get("COLORTERM") in ("truecolor", "24bit"):
        return Finding("colours", OK, "16 million")
    if "256" in environment.get("TERM", ""):
        remedy = "export COLORTERM=truecolor if your terminal has them"
        return Finding("colours", NOTE, "256", remedy)
    return Finding("colours", NOTE, "16 or fewer", "use a TERM with 256 colours")


def connection(environment: Mapping[str, str]) -> Finding:
    """The programs between the user and this shell, such as ssh or tmux."""
    between = [
        name
        for variable, name in (
            ("SSH_CONNECTION", "ssh"),
            ("TMUX", "tmux"),
            ("STY", "screen"),
            ("ZELLIJ", "zellij"),
        )
        if environment.get(variable)
    ]
    text = " and ".join(between) or "local"
    if between == ["ssh"]:
        remedy = "a dropped connection does not end a run: log in and 'darts-tui attach'"
        return Finding("connection", OK, text, remedy)
    return Finding("connection", OK, text)


def unicode(environment: Mapping[str, str]) -> Finding:
    """The encoding by the locale, and the characters of the plots that follow from it."""
    from darts_tui.dashboard.terminal import glyphs

    found = encoding(environment)
    drawn = f"curves are drawn in {glyphs(environment, found)}"
    if found.lower().replace("-", "") == "utf8":
        return Finding("unicode", OK, f"UTF-8; {drawn}")
    return Finding("unicode", NOTE, f"{found}; {drawn}", "export LC_ALL=C.UTF-8")


def runs_folder(runs: Path) -> Finding:
    """Whether runs can be created."""
    place = _existing(runs)
    if place == runs and not runs.is_dir():
        return Finding("runs", PROBLEM, f"{runs} is not a folder", "choose one with --runs DIR")
    if os.access(place, os.W_OK | os.X_OK):
        state = "writable" if runs.exists() else "will be made by the first run"
        return Finding("runs", OK, f"{runs.absolute()} {state}")
    remedy = "choose a writable folder with --runs DIR or DARTS_TUI_RUNS"
    return Finding("runs", PROBLEM, f"{runs.absolute()} is not writable", remedy)


def locks(runs: Path) -> Finding:
    """Whether the file system of the runs has locks, which keep two engines off one run."""
    try:
        with tempfile.TemporaryFile(dir=_existing(runs)) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        remedy = "keep the runs on a file system with flock, for example a local disk"
        return Finding("locks", PROBLEM, f"flock does not work: {error.strerror}", remedy)
    return Finding("locks", OK, "flock works")


def disk(runs: Path) -> Finding:
    """Free space for checkpoints."""
    try:
        free = shutil.disk_usage(_existing(runs)).free
    except OSError as error:
        return Finding("disk", NOTE, f"free space is unknown: {error.strerror}")
    if free < LOW_DISK_BYTES:
        return Finding("disk", NOTE, f"{human_bytes(free)} free", "remove old checkpoints")
    return Finding("disk", OK, f"{human_bytes(free)} free")


def logout(
    environment: Mapping[str, str],
    logind: Path = Path("/etc/systemd/logind.conf"),
    lingering: Path = Path("/var/lib/systemd/linger"),
) -> Finding:
    """Whether systemd kills a user's processes, engines too, when the user logs out."""
    if not Path("/run/systemd/system").is_dir():
        return Finding("logout", OK, "no systemd: engines live on after logout")
    user = environment.get("USER", "")
    if user and (lingering / user).exists():
        return Finding("logout", OK, "lingering is on: engines live on after logout")
    if kills_at_logout(logind):
        remedy = "loginctl enable-linger"
        return Finding("logout", PROBLEM, "systemd kills your processes at logout", remedy)
    return Finding("logout", OK, "engines live on after logout")


def kills_at_logout(logind: Path) -> bool:
    """The last KillUserProcesses= value of logind.conf and its drop-ins; the default is no."""
    answer = False
    for file in (logind, *sorted(logind.with_name("logind.conf.d").glob("*.conf"))):
        try:
            lines = file.read_text("utf-8", "replace").splitlines()
        except OSError:
            continue
        for line in lines:
            key, _, value = line.partition("=")
            if key.strip() == "KillUserProcesses":
                answer = value.strip().lower() in ("yes", "true", "on", "1")
    return answer


def _existing(path: Path) -> Path:
    """The path itself or the nearest folder above it that exists."""
    path = path.absolute()
    return next(place for place in (path, *path.parents) if place.exists() or place == place.parent)


def print_findings(findings: list[Finding]) -> None:
    """Print the findings aligned, each remedy below its finding."""
    wide = max(len(finding.name) for finding in findings)
    for finding in findings:
        print(f"{finding.name:<{wide}}  {finding.level:<7}  {clean(finding.text)}")
        if finding.remedy:
            print(f"{'':<{wide}}  {'':<7}  -> {clean(finding.remedy)}")
