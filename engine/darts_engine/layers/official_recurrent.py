"""The layout that the official recurrent DARTS code gives to a model's tensors.

`quark0/darts`, `rnn/model.py`. A search and a derived network have the same layout, but for the
running statistics of the search's one batch norm. There the decoder's matrix, which is that of the
embedding, stands a second time. Shapes: V words, n the width, N nodes.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from darts_engine.layers.language_model import LanguageModel
from darts_engine.layers.official_names import COUNTER, checked_tensor
from darts_engine.run.errors import CheckpointError

REMEDY = "is it of a model with the same words, width and nodes?"
EMBEDDING, DECODER = "encoder.weight", "decoder.weight"
NODE = "rnns.0._Ws."
# Official name -> ours, of what has the same shape in both.
NAMES = {
    EMBEDDING: "embedding",
    "rnns.0._W0": "first",
    "rnns.0.bn.running_mean": "norm.running_mean",
    "rnns.0.bn.running_var": "norm.running_var",
    "decoder.bias": "decoder_bias",
}


def official(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of a model in the official layout, as views; gradients of the weights too.

    Args:
        tensors: by our names, such as those of `state_dict`; what has no official name is left out.
    """
    found = {theirs: tensors[ours] for theirs, ours in NAMES.items() if ours in tensors}
    if "nodes" in tensors:
        found |= {f"{NODE}{i}": matrix for i, matrix in enumerate(tensors["nodes"].unbind(1))}
    if EMBEDDING in found:
        found[DECODER] = found[EMBEDDING]
    return found


def export(model: LanguageModel) -> dict[str, Tensor]:
    """The weights and running statistics, copied to the CPU, in the layout that `load` reads."""
    return {
        name: tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for name, tensor in official(model.state_dict()).items()
    }


def load(model: LanguageModel, state: Mapping[str, object], where: str = "") -> None:
    """Load weights and running statistics in the official layout.

    Args:
        model: changed in place, and only if everything fits.
        state: tensors by official name. `num_batches_tracked` may be there or not, and so may the
            decoder's matrix, which must be that of the embedding.
        where: the file, for messages.

    Raises:
        CheckpointError: a key is missing, unknown or of another shape, or the decoder is not tied;
            the first is named.
    """
    own = official(model.state_dict())
    place = f"{where}: " if where else ""
    for key in state:
        if key not in own and str(key).rpartition(".")[2] != COUNTER:
            raise CheckpointError(
                "the weights have a key too many", where=f"{place}{key}", remedy=REMEDY
            )
    chosen: dict[str, Tensor] = {}
    for key, mine in own.items():
        if key == DECODER and key not in state:
            continue
        try:
            chosen[key] = checked_tensor(state, key, mine, REMEDY)
        except CheckpointError as error:
            raise CheckpointError(error.what, where=f"{place}{key}", remedy=error.remedy) from None
    if DECODER in chosen and not torch.equal(chosen[DECODER], chosen[EMBEDDING]):
        raise CheckpointError(
            "the decoder's matrix is not that of the embedding",
            where=f"{place}{DECODER}",
            remedy="weights of this model are tied",
        )
    with torch.no_grad():
        for key, value in chosen.items():
            own[key].copy_(value)
