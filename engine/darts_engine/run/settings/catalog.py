"""What there is to choose from: name -> where its code is, and one line about it.

Greppable, and listed without importing torch: the engine resolves an entry only when it is chosen.
Adding a space, data set or text is its file and a line here, or in the metadata of a package of
one's own (`docs/extending.md`). Methods are in `methods.py`.
"""

import difflib
import importlib
from functools import partial
from typing import Any, NamedTuple

from darts_engine.run import extensions
from darts_engine.run.architecture.spaces import spec_of
from darts_engine.run.errors import NotFoundError


class Entry(NamedTuple):
    """`target` is "module:object"."""

    target: str
    summary: str


SPACES = {
    "darts": Entry(
        "darts_engine.spaces.darts:DARTS",
        "DARTS CNN cells: 4 nodes, 14 edges, 8 operations, normal and reduction cell",
    ),
    "s1": Entry("darts_engine.spaces.robust:S1", "R-DARTS S1: two operations of its own per edge"),
    "s2": Entry("darts_engine.spaces.robust:S2", "R-DARTS S2: skip connection or sep 3x3"),
    "s3": Entry("darts_engine.spaces.robust:S3", "R-DARTS S3: none, skip connection or sep 3x3"),
    "s4": Entry("darts_engine.spaces.robust:S4", "R-DARTS S4: noise or sep 3x3"),
    "1shot1-1": Entry(
        "darts_engine.spaces.oneshot:OneShot1", "NAS-Bench-1Shot1, space 1: nodes choose parents"
    ),
    "1shot1-2": Entry(
        "darts_engine.spaces.oneshot:OneShot1", "NAS-Bench-1Shot1, space 2: fewer parents each"
    ),
    "1shot1-3": Entry(
        "darts_engine.spaces.oneshot:OneShot1", "NAS-Bench-1Shot1, space 3: five nodes"
    ),
    "nasbench201": Entry(
        "darts_engine.spaces.nasbench201:NASBench201",
        "NAS-Bench-201: one cell type, 6 edges, 5 operations",
    ),
    "nasnet-like": Entry(
        "darts_engine.spaces.nasnet:NASNetLike",
        "NASNet's cell: loose ends are its output; any number of --nodes",
    ),
    "recurrent": Entry(
        "darts_engine.spaces.recurrent:Recurrent",
        "DARTS recurrent cells on text: 8 nodes with one parent each, 5 operations",
    ),
}

DATASETS = {
    "digits": Entry(
        "darts_engine.data.sources.digits:load", "1,797 handwritten digits of 8x8 pixels, bundled"
    ),
    "cifar10": Entry(
        "darts_engine.data.sources.cifar:cifar10",
        "60,000 colour images of 32x32 pixels, 10 classes",
    ),
    "cifar100": Entry(
        "darts_engine.data.sources.cifar:cifar100",
        "60,000 colour images of 32x32 pixels, 100 classes",
    ),
    "svhn": Entry(
        "darts_engine.data.sources.svhn:load", "99,289 house numbers of 32x32 pixels, 10 digits"
    ),
    "imagenet": Entry(
        "darts_engine.data.sources.images:imagenet",
        "imagenet[:DIR], train/CLASS/* and val/CLASS/*, streamed; not downloaded",
    ),
    "npz": Entry(
        "darts_engine.data.sources.npz:load", "npz:FILE, arrays images and labels by usual names"
    ),
    "npy": Entry(
        "darts_engine.data.sources.npy:load", "npy:IMAGES.npy,LABELS.npy, an array a file"
    ),
    "folder": Entry(
        "darts_engine.data.sources.images:load", "folder:DIR, one sub-folder of images a class"
    ),
}

TEXTS = {
    "verses": Entry(
        "darts_engine.data.text.sources.verses:load",
        "the four Gospels, a verse a line: 102,285 tokens, bundled",
    ),
    "text": Entry(
        "darts_engine.data.text.sources.files:load",
        "text:FOLDER with train.txt, valid.txt, test.txt, or text:FILE, split by lines",
    ),
    "penn": Entry(
        "darts_engine.data.text.sources.published:penn",
        "penn[:DIR], Penn Treebank's ptb.train.txt, ...; not downloaded",
    ),
    "wikitext2": Entry(
        "darts_engine.data.text.sources.published:wikitext2",
        "wikitext2[:DIR], WikiText-2's wiki.train.tokens, ...; not downloaded",
    ),
}


def is_text(dataset: str) -> bool:
    """Whether a data set's name, as in `text:FOLDER`, is one of `TEXTS`."""
    kind = dataset.partition(":")[0]
    # What packages add is read only where a name is not built in.
    return kind in TEXTS or (kind not in DATASETS and kind in names(TEXTS))


def spelt(table: dict[str, Entry]) -> str:
    """The built-in names as `--dataset` takes them: with a path where there is no default one."""
    paths = {
        "text": "text:PATH",
        "npz": "npz:FILE",
        "npy": "npy:IMAGES,LABELS",
        "folder": "folder:DIR",
    }
    return ", ".join(paths.get(name, name) for name in table)


def names(table: dict[str, Entry]) -> list[str]:
    """Every name: the built-in ones, then those that installed packages add."""
    return [*table, *extensions.names(_group(table), table)]


def entry(kind: str, table: dict[str, Entry], name: str) -> Entry:
    """What `table`, or an installed package, has under `name`. Imports nothing of it.

    Args:
        kind: the word for it in messages.
        table: `SPACES`, `DATASETS` or `TEXTS`.
        name: in the table, or added to its group of entry points by a package.

    Raises:
        NotFoundError: there is no such name; the nearest is named.
        ExtensionError: a package adds what is built in.
    """
    extension = extensions.find(_group(table), name, table)
    if extension is not None:
        return Entry(extension.target, f"added by the package {extension.origin}")
    if name not in table:
        known = names(table)
        near = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
        raise NotFoundError(
            f"there is no {kind} {name!r}",
            where="it is not built in, and no installed package adds it",
            remedy=hint,
        )
    return table[name]


def resolve(kind: str, table: dict[str, Entry], name: str) -> Any:
    """The object that `name` stands for in `table`: what makes a space, or reads a data set.

    Raises:
        NotFoundError, ExtensionError: as `entry`, or the package cannot be imported.
    """
    module, _, attribute = entry(kind, table, name).target.partition(":")
    if name in table:
        return getattr(importlib.import_module(module), attribute)
    extension = extensions.find(_group(table), name)
    assert extension is not None
    spec = spec_of(name) if table is SPACES else None
    made: Any = spec.build if spec else extension.load()
    return partial(extension.call, made)


def _group(table: dict[str, Entry]) -> str:
    if table is TEXTS:
        return extensions.TEXTS
    return extensions.DATA if table is DATASETS else extensions.SPACES
