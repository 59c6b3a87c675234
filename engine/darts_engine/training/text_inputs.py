"""The tokens that a trained recurrent network reads and predicts, without their text."""

from dataclasses import dataclass
from typing import Any

from darts_engine.data.text.vocabulary import Vocabulary


@dataclass(frozen=True)
class TextInputs:
    """The vocabulary of a network.

    Attributes:
        tokens: in the order of the network's outputs.
    """

    tokens: Vocabulary

    @classmethod
    def of_state(cls, state: dict[str, Any]) -> "TextInputs":
        """The inputs that `state` holds.

        Raises:
            KeyError: a field is missing: `state` is not of a training on text.
        """
        return cls(Vocabulary(list(state["words"]), state["kind"]))

    def state(self) -> dict[str, Any]:
        """All fields as plain values, for a checkpoint."""
        return {"words": list(self.tokens.words), "kind": self.tokens.kind}
