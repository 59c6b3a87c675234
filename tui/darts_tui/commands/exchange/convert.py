"""`darts-tui convert`: a genotype in another written form."""

from pathlib import Path

from darts_engine.run.architecture.forms.table import FORMS, write
from darts_engine.run.architecture.text import parse
from darts_engine.run.errors import RunError
from darts_tui.runs.genotypes import Named

__all__ = ["FORMS", "converted", "save"]


def converted(value: Named, form: str) -> str:
    """The text of a genotype in a form, read back before it is given away.

    Raises:
        ConfigError: there is no such form.
        GenotypeError: the form cannot hold the genotype; the message says what of it.
    """
    text = write(value.genotype, form)
    again = parse(text)
    for cell in value.genotype.cells:
        assert sorted(again.edges(cell)) == sorted(value.genotype.edges(cell))
    return text


def save(text: str, file: Path) -> None:
    """Write a text to a new file.

    Raises:
        RunError: there is a file of this name, or it cannot be written.
    """
    try:
        with file.expanduser().open("x", encoding="utf-8") as out:
            out.write(text + "\n")
    except OSError as error:
        raise RunError(f"the file cannot be written: {error.strerror}", where=str(file)) from None
