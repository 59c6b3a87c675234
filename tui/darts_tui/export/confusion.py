"""A confusion matrix as pictures and a table."""

from collections.abc import Collection
from pathlib import Path

from darts_tui.export.files import write_whole
from darts_tui.export.pictures import Confusion, Job, draw
from darts_tui.export.render import FORMATS, RenderError
from darts_tui.export.tables import confusion_table


def write(
    picture: Confusion, stem: str, formats: Collection[str], folder: Path
) -> tuple[list[Path], list[str]]:
    """Write the table, and the picture in every format that can be drawn here.

    Args:
        picture: the matrix.
        stem: what the files' names begin with.
        formats: any of "svg", "png" and "pdf".
        folder: where they go.

    Returns:
        The files, and messages for the user.

    Raises:
        RunError: a file cannot be written.
    """
    table = confusion_table(picture.classes, picture.counts)
    files = [write_whole(folder / f"{stem}.csv", [table])]
    wanted = {f"{stem}.{word}": word for word in FORMATS if word in formats}
    if not wanted:
        return files, []
    try:
        drawn = draw([Job(picture=picture, files=wanted)])
    except RenderError as error:
        return files, [str(error)]
    return [*files, *(write_whole(folder / name, [drawn[name]]) for name in wanted)], []
