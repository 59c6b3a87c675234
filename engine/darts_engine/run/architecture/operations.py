"""The names of operations that networks are built of, and the nearest one to another name."""

import difflib
from collections.abc import Collection, Iterable

from darts_engine.run.architecture import nasbench, size, size_recurrent
from darts_engine.run.architecture.genotype import (
    DARTS,
    NASBENCH101,
    NASBENCH201,
    OUTPUT,
    RECURRENT,
    Genotype,
)
from darts_engine.run.errors import GenotypeError

OF_FORM: dict[str, Collection[str]] = {
    DARTS: size.OPERATIONS,
    NASBENCH201: nasbench.TAPS_201,
    NASBENCH101: (*nasbench.TAPS_101, OUTPUT),
    RECURRENT: size_recurrent.ACTIVATIONS,
}
_NETWORKS = {DARTS: "derived network", RECURRENT: "recurrent cell"}
KNOWN = tuple(dict.fromkeys(name for names in OF_FORM.values() for name in names if name != OUTPUT))


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that is most like another; the first letters count as much as the last."""
    names = list(known)
    return (difflib.get_close_matches(name[:80].lower(), names, 1, 0.0) or names)[0]


def refuse_unknown(genotype: Genotype) -> None:
    """Refuse a genotype with an operation that no network of its form has.

    Raises:
        GenotypeError: names the operation and the nearest known one.
    """
    known = OF_FORM[genotype.form]
    for cell in genotype.cells:
        for edge in genotype.live_edges(cell):
            if edge.operation not in known:
                near = nearest(edge.operation, known)
                raise GenotypeError(
                    f"no {_NETWORKS.get(genotype.form, 'network of this form')} has the operation "
                    f"{edge.operation!r}",
                    where=f"{cell} cell, state {edge.node}, input {edge.input}",
                    remedy=f"the nearest is {near!r}; --operations FILE.toml reads your names, by "
                    f'lines such as {edge.operation} = "{near}"; there are '
                    f"{', '.join(name for name in known if name != OUTPUT)}",
                )
