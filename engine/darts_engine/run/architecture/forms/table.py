"""The table of written forms: what each is, and how a genotype is written in it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from darts_engine.run.architecture.forms import (
    cells,
    compact,
    mmrazor,
    nasbench201,
    nasbench301,
    nni_hub,
    nni_legacy,
)
from darts_engine.run.architecture.genotype import Genotype
from darts_engine.run.errors import ConfigError


class Form(NamedTuple):
    """A form: one line about it, and what writes it.

    Attributes:
        about: for lists of forms.
        write: the text of a genotype; raises GenotypeError for one that the form cannot hold.
    """

    about: str
    write: Callable[[Genotype], str]


def _json(make: Callable[[Genotype], dict[str, Any]]) -> Callable[[Genotype], str]:
    def write(genotype: Genotype) -> str:
        return msgspec.json.format(msgspec.json.encode(make(genotype)), indent=2).decode()

    return write


def _plain_json(genotype: Genotype) -> str:
    return msgspec.json.encode(genotype.to_json()).decode()


FORMS: dict[str, Form] = {
    "text": Form("as the official code prints it", Genotype.text),
    "json": Form("the same parts as JSON", _plain_json),
    nni_legacy.NAME: Form("NNI 1 and 2", _json(nni_legacy.write)),
    nni_hub.NAME: Form("the model hub of NNI 2.8 to 3", _json(nni_hub.write)),
    nasbench301.NAME: Form("NAS-Bench-301's ConfigSpace dictionary", _json(nasbench301.write)),
    compact.NAME: Form("compact tuples of NASLib and BANANAS", compact.write),
    mmrazor.NAME: Form("fixed subnet of mmrazor 1.0, YAML", mmrazor.write),
    "nested": Form("a list for each node, as pt.darts prints it", cells.write_nested),
    nasbench201.NAME: Form("the string of NAS-Bench-201", nasbench201.write),
    nasbench201.INDICES: Form("six indices of NASLib", nasbench201.write_indices),
}


def write(genotype: Genotype, form: str) -> str:
    """The text of a genotype in a form.

    Raises:
        ConfigError: there is no such form.
        GenotypeError: the form cannot hold the genotype; the message says what of it.
    """
    if form not in FORMS:
        raise ConfigError(f"there is no form {form[:40]!r}", remedy=f"use {', '.join(FORMS)}")
    return FORMS[form].write(genotype)
