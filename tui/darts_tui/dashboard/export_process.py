"""Export a run in a child process, because drawing takes seconds and needs matplotlib."""

import asyncio
import json
import sys

from darts_engine.run.folder import RunFolder

# -P: Python must not import modules from the working folder.
COMMAND = ("-P", "-m", "darts_tui.cli.main", "export")


class ExportFailedError(Exception):
    """The export failed; the message is the first line of its standard error."""


async def export(folder: RunFolder, epoch: int | None) -> tuple[list[str], list[str]]:
    """Export a run as it is, or as it was after an epoch.

    Returns:
        The files written, and the export's warnings.

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
        report = json.loads(out)
        return [str(file) for file in report["files"]], [str(text) for text in report["messages"]]
    except (ValueError, KeyError, TypeError):
        lines = err.decode("utf-8", "replace").strip().splitlines()
        raise ExportFailedError(lines[0] if lines else "it gave no reason") from None
