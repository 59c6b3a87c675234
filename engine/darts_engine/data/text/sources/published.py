"""`penn` and `wikitext2`: published texts, from copies of one's own, under their real names.

Penn Treebank as T. Mikolov prepared it (Interspeech 2010): lower case, numbers are `N`, rare words
`<unk>`. It is not freely licensed. WikiText-2: S. Merity et al., Pointer Sentinel Mixture Models,
ICLR 2017; CC BY-SA. Neither is downloaded. Their vocabularies are closed: all three parts have the
same words, so ids are numbered over all of them, as in the official code.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from darts_engine.data.files.published import data_folder
from darts_engine.data.text.plain_file import pieces
from darts_engine.data.text.source import PARTS, Counts, Request, Text
from darts_engine.run.errors import DataError

PENN = Counts(929_589, 73_760, 82_430, 10_000)
WIKITEXT2 = Counts(2_088_628, 217_646, 245_569, 33_278)


class Names(NamedTuple):
    """How the three files are named, with `{}` for the part; `raw` text has no `<unk>`."""

    pattern: str
    raw: bool = False

    def files(self, folder: Path) -> list[Path]:
        """The three files in a folder."""
        return [folder / self.pattern.format(part) for part in PARTS]


_PENN = (Names("ptb.{}.txt"), Names("{}.txt"))
_WIKI = (Names("wiki.{}.tokens"), Names("wiki.{}.raw", raw=True), Names("{}.txt"))


def penn(request: Request) -> Text:
    """Penn Treebank: `ptb.train.txt` and the like, or `train.txt`.

    Raises:
        DataError: a file is missing.
    """
    folders = _folders(request, ("penn", "ptb", "simple-examples/data"), ("data",))
    files, _ = _found("penn", folders, _PENN)
    train, valid, test = map(pieces, files)
    return Text("penn", train, valid, test, closed=True, published=PENN)


def wikitext2(request: Request) -> Text:
    """WikiText-2: `wiki.train.tokens` and the like, `wiki.train.raw`, or `train.txt`.

    The raw files are of the same articles with all their words: their vocabulary is not closed, and
    no published figure is about them.

    Raises:
        DataError: a file is missing.
    """
    folders = _folders(
        request, ("wikitext-2", "wikitext2", "wikitext-2-raw"), ("wikitext-2", "wikitext-2-raw")
    )
    files, raw = _found("wikitext2", folders, _WIKI)
    if raw:
        request.watch.note(
            f"{files[0].name} and the like are the raw WikiText-2, with words that the published "
            "one has as <unk>: perplexities do not compare with published ones",
            "warning",
        )
    train, valid, test = map(pieces, files)
    counts = None if raw else WIKITEXT2
    return Text("wikitext2", train, valid, test, closed=not raw, published=counts)


def _folders(request: Request, usual: Sequence[str], within: Sequence[str]) -> list[Path]:
    """Where the files may be: in the folder named or one within it, else below the data folder."""
    if request.rest:
        root = Path(request.rest).expanduser()
        return [root, *(root / name for name in within)]
    return [data_folder(request.data.data_dir) / name for name in usual]


def _found(name: str, folders: Sequence[Path], ways: Sequence[Names]) -> tuple[list[Path], bool]:
    """The three files, and whether they are raw.

    Raises:
        DataError: there are none, or not all three.
    """
    for folder in folders:
        for names in ways:
            files = names.files(folder)
            missing = [file for file in files if not file.exists()]
            if not missing:
                return files, names.raw
            if len(missing) < len(files):
                raise DataError(
                    f"{name}: there is no {missing[0].name}",
                    where=str(folder),
                    remedy="all three parts are needed: " + ", ".join(f.name for f in files),
                )
    raise DataError(
        f"{name}: there is no {ways[0].files(folders[0])[0].name}; "
        "it is not downloaded, bring a copy of your own",
        where=" or ".join(str(folder) for folder in folders),
        remedy=f"put its three files there, or name their folder: {name}:DIR",
    )
