"""The tables of settings of text, which only networks that read text use; see `sections.py`."""

from typing import Annotated

import msgspec
from msgspec import Meta


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the TOML file."""


class TextSection(Section, frozen=True, kw_only=True):
    """Text, and the recurrent network that reads it (space `recurrent`).

    The five dropouts are those of the official code: dropout, dropouth, dropoutx, dropouti and
    dropoute. Rates are of what is dropped.
    """

    tokens: Annotated[str, Meta(description="Text: what a token is, words or characters.")] = (
        "words"
    )
    vocabulary: Annotated[
        int, Meta(ge=0, description="Text: most tokens told apart; rarer ones are <unk>; 0 = all.")
    ] = 0
    width: Annotated[
        int, Meta(ge=1, description="Text: width of the embedding and of the hidden state.")
    ] = 64
    bptt: Annotated[
        int,
        Meta(
            ge=2, le=1_000_000, description="Text: tokens that a step reads and goes back through."
        ),
    ] = 35
    output_dropout: Annotated[
        float, Meta(ge=0, lt=1, description="Text: dropout of the cell's output, one mask a step.")
    ] = 0.2
    hidden_dropout: Annotated[
        float, Meta(ge=0, lt=1, description="Text: dropout of hidden states inside the cell.")
    ] = 0.1
    input_dropout: Annotated[
        float, Meta(ge=0, lt=1, description="Text: dropout of the cell's input.")
    ] = 0.2
    embedding_dropout: Annotated[
        float, Meta(ge=0, lt=1, description="Text: dropout of the embedding, one mask a step.")
    ] = 0.1
    word_dropout: Annotated[
        float, Meta(ge=0, lt=1, description="Text: dropout of whole words of the embedding.")
    ] = 0.0
    activation_reg: Annotated[
        float, Meta(ge=0, description="Text: factor of the mean square of the dropped outputs.")
    ] = 0.0
    slowness: Annotated[
        float,
        Meta(ge=0, description="Text: factor of the mean squared change of the hidden state."),
    ] = 1e-3
    eval_batch: Annotated[
        int, Meta(ge=1, description="Text: columns of the text that a validation reads at once.")
    ] = 10


class SearchTextSection(TextSection, frozen=True, kw_only=True):
    """Text in a search."""

    statistics: Annotated[
        str,
        Meta(
            description="Text: batch norm in the validation takes statistics of the batch, as in "
            "the paper, or running ones, as the official code."
        ),
    ] = "batch"
    redraw_masks: Annotated[
        bool,
        Meta(description="Text, order 2: new dropout masks for every pass, as the official code."),
    ] = False
    hvp_scale: Annotated[
        str,
        Meta(
            description="Text, order 2: factor of the implicit term by the clip of its vector: "
            "limited to 1, or official, which may exceed it."
        ),
    ] = "limited"


class TrainTextSection(TextSection, frozen=True, kw_only=True):
    """Text in a training."""

    length_jitter: Annotated[
        float, Meta(ge=0, description="Text: standard deviation of a step's length, tokens.")
    ] = 5.0
    nonmono: Annotated[
        int,
        Meta(
            ge=0,
            description="Text: weights are averaged once the validation loss is above the lowest "
            "of all but the last N epochs; 0 = never.",
        ),
    ] = 5
