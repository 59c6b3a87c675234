"""How large a recurrent network is, counted without building it.

The network of the DARTS paper (Liu et al., arXiv 1806.09055, section 3.3 and appendix A.3): an
embedding that the decoder shares, one cell, and the decoder's bias. The embedding, the hidden state
and the output are equally wide.
"""

from darts_engine.run.architecture.genotype import RECURRENT, Genotype
from darts_engine.run.architecture.size import Size
from darts_engine.run.errors import GenotypeError

# What a derived cell may compute; the search has `none` beside them.
ACTIVATIONS = ("tanh", "relu", "sigmoid", "identity")
# As published, for Penn Treebank.
WIDTH, VOCABULARY = 850, 10_000


def recurrent_size(genotype: Genotype, width: int = WIDTH, vocabulary: int = VOCABULARY) -> Size:
    """Count the network of a recurrent cell; multiply-adds are those of one token.

    With n the width and V the vocabulary: V n for embedding and decoder, 4 n^2 for the matrix of
    node 0, 2 n^2 for that of every other node, V for the decoder's bias.

    Args:
        genotype: of the form `recurrent`.
        width: of the embedding and of the hidden state.
        vocabulary: number of tokens told apart.

    Raises:
        GenotypeError: the form is another, or a node has an operation that no recurrent cell has.
    """
    if genotype.form != RECURRENT:
        raise GenotypeError(
            "only a recurrent cell has a width and a vocabulary",
            remedy="leave out --width and --vocabulary",
        )
    edges = genotype.edges(RECURRENT)
    for edge in edges:
        if edge.operation not in ACTIVATIONS:
            raise GenotypeError(
                f"no recurrent cell has the operation {edge.operation!r}",
                where=f"node {edge.node}",
                remedy=f"there are {', '.join(ACTIVATIONS)}",
            )
    cell = (4 + 2 * len(edges)) * width * width
    parameters = vocabulary * width + cell + vocabulary
    return Size(parameters, parameters, cell + vocabulary * width)
