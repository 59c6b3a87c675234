"""What there is to choose from: name -> where its code is, and one line about it.

Greppable, and listed without importing torch: the engine resolves an entry only when it is chosen.
Adding a method, space or data set is its file and a line here.
"""

import difflib
import importlib
from typing import Any, NamedTuple

from darts_engine.run.errors import NotFoundError


class Entry(NamedTuple):
    """`target` is "module:object"."""

    target: str
    summary: str


METHODS = {
    "darts": Entry(
        "darts_engine.methods.darts:architect",
        "DARTS: alpha follows the validation loss, at the current weights or (order 2) the next",
    ),
}

SPACES = {
    "darts": Entry(
        "darts_engine.spaces.darts:DARTS",
        "DARTS CNN cells: 4 nodes, 14 edges, 8 operations, normal and reduction cell",
    ),
}

DATASETS = {
    "digits": Entry(
        "darts_engine.data.digits:load", "1,797 handwritten digits of 8x8 pixels, bundled"
    ),
    "cifar10": Entry(
        "darts_engine.data.cifar:cifar10", "60,000 colour images of 32x32 pixels, 10 classes"
    ),
    "cifar100": Entry(
        "darts_engine.data.cifar:cifar100", "60,000 colour images of 32x32 pixels, 100 classes"
    ),
    "svhn": Entry(
        "darts_engine.data.svhn:load", "99,289 house numbers of 32x32 pixels, 10 digits"
    ),
    "imagenet": Entry(
        "darts_engine.data.images:imagenet",
        "imagenet[:DIR], train/CLASS/* and val/CLASS/*, streamed; not downloaded",
    ),
    "npz": Entry("darts_engine.data.npz:load", "npz:FILE, arrays images and labels of uint8"),
    "folder": Entry(
        "darts_engine.data.images:load", "folder:DIR, one sub-folder of images a class"
    ),
}


def resolve(kind: str, table: dict[str, Entry], name: str) -> Any:
    """The object that `name` stands for in `table`; `kind` is the word for it in messages.

    Raises:
        NotFoundError: the table has no such name; the nearest is named.
    """
    if name not in table:
        near = difflib.get_close_matches(name, table, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(table)}"
        raise NotFoundError(f"there is no {kind} {name!r}", remedy=hint)
    module, _, attribute = table[name].target.partition(":")
    return getattr(importlib.import_module(module), attribute)
