"""Asking a process of its own for pictures: drawing takes seconds, and libraries we do without."""

import asyncio
import json
import sys

from darts_engine.run.folder import RunFolder

# -P: a file of the working folder must not pass for a module.
COMMAND = ("-P", "-m", "darts_tui.cli.main", "export")


class ExportFailedError(Exception):
    """The export said why on its standard error; the message is its first line."""


async def export(folder: RunFolder, epoch: int | None) -> tuple[list[str], list[str]]:
    """Export a run as it is, or as it was after an epoch.

    Returns:
        The files written, and what the export has to say about them.

    Raises:
        ExportFailedError: nothing was written.
    """
    arguments = [*COMMAND, str(folder.path), "--what", "all", "--json"]
    if epoch is not None:
        arguments += ["--epoch", str(epoch)]
    pipe, null = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, stdin=null, stdout=pipe, stderr=pipe
    )
    try:
        out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    try:
        told = json.loads(out)
        return [str(file) for file in told["files"]], [str(text) for text in told["messages"]]
    except (ValueError, KeyError, TypeError):
        lines = err.decode("utf-8", "replace").strip().splitlines()
        raise ExportFailedError(lines[0] if lines else "it gave no reason") from None
