"""Child programs forked from the fork server, which has imported torch and matplotlib already.

`python -m darts_engine.programs.X` spends most of its seconds on imports. In a fork the same
module runs as `__main__` with the same arguments, streams and exit status. Tests outside tests/tui
start the programs themselves.
"""

import os
import runpy
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from engine_kit import CONTEXT

PYTHON = sys.executable
FORKED = ("darts_engine.programs.", "darts_engine.bench.memory", "darts_tui.export.figures")


def fork_programs(patch: pytest.MonkeyPatch) -> None:
    """Let `subprocess.run` fork our own programs; everything else is started as ever."""
    start = subprocess.run

    def run(command: Any, **how: Any) -> Any:
        words = [os.fspath(word) for word in command]
        module = words[words.index("-m") + 1] if "-m" in words else ""
        if words[0] != PYTHON or not module.startswith(FORKED):
            return start(command, **how)
        return _run(words, module, **how)

    patch.setattr(subprocess, "run", run)


def _run(
    words: list[str],
    module: str,
    *,
    input: bytes | None = None,  # noqa: A002  the name that subprocess gives it
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
    encoding: str | None = None,
    text: bool = False,
    **_: Any,
) -> subprocess.CompletedProcess[Any]:
    arguments = words[words.index("-m") + 2 :]
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / "in").write_bytes(input or b"")
        child = CONTEXT.Process(
            target=_be_the_program,
            args=(module, arguments, scratch, str(Path.cwd()), dict(env or os.environ)),
            daemon=True,
        )
        child.start()
        child.join(timeout)
        if child.exitcode is None:
            child.kill()
            child.join()
            raise subprocess.TimeoutExpired(words, timeout or 0.0)
        out, err = ((Path(scratch) / name).read_bytes() for name in ("out", "err"))
    code = child.exitcode
    if encoding or text:
        encoding = encoding or "utf-8"
        return subprocess.CompletedProcess(
            words, code, out.decode(encoding, "replace"), err.decode(encoding, "replace")
        )
    return subprocess.CompletedProcess(words, code, out, err)


def _be_the_program(
    module: str, arguments: list[str], scratch: str, directory: str, environment: dict[str, str]
) -> None:
    write = os.O_WRONLY | os.O_CREAT
    for number, (name, flags) in enumerate((("in", os.O_RDONLY), ("out", write), ("err", write))):
        descriptor = os.open(Path(scratch) / name, flags, 0o600)
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [module, *arguments]
    warnings.simplefilter("ignore")
    runpy.run_module(module, run_name="__main__", alter_sys=True)
