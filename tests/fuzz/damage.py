"""Damage to bytes, text and nested values, by random choices."""

import random
from collections.abc import Sequence
from typing import Any

# Values that a careless reader stumbles over; all are harmless to print and to keep.
ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, -(2**63), 10**30, 0.5, -0.0, 1e308, 1e-320),
    *("", " ", "a" * 300, "nan", "inf", "\x1b[2J", "\x1b]0;title\x07", "\x9b31m", "\u202eabc"),
    *("..", "../x", "/", "a/b", "a\nb", "a\0b", "[bold]", "{x}", "%s", "é中\U0001f600"),
    *([], {}, [[]], [None], {"": None}, ["x"] * 50, [1, 2, 3], {"normal": [], "reduce": []}),
)


def damaged(content: bytes, draws: random.Random) -> bytes:
    """The content with one to four faults: flipped bits, cuts, holes, noise, repeated stretches."""
    out = bytearray(content)
    for _ in range(draws.randint(1, 4)):
        at = draws.randint(0, len(out))
        end = min(len(out), at + draws.choice((1, 8, 100, 4000)))
        match draws.randrange(7):
            case 0 | 1 if out:
                out[draws.randrange(len(out))] ^= 1 << draws.randrange(8)
            case 2:
                del out[at:]
            case 3:
                del out[at:end]
            case 4:
                out[at:end] = bytes(end - at)
            case 5:
                out[at:at] = draws.randbytes(draws.choice((1, 7, 300)))
            case _:
                out[at:at] = out[at:end]
    return bytes(out)


def damaged_text(text: str, pieces: Sequence[str], draws: random.Random) -> str:
    """The text with one to four stretches left out, repeated, or replaced by a piece."""
    for _ in range(draws.randint(1, 4)):
        at = draws.randint(0, len(text))
        end = min(len(text), at + draws.choice((0, 1, 3, 12, 80)))
        instead = draws.choice((draws.choice(pieces), "", text[at:end] * 2))
        text = text[:at] + instead + text[end:]
    return text


def mutated(value: Any, draws: random.Random) -> Any:
    """A nested value in which one to three parts are removed, renamed, or something odd."""
    for _ in range(draws.randint(1, 3)):
        value = _mutated_once(value, draws)
    return value


def _mutated_once(value: Any, draws: random.Random) -> Any:
    if draws.random() < 0.2 or not isinstance(value, dict | list) or not value:
        return draws.choice(ODD)
    if isinstance(value, list):
        at = draws.randrange(len(value))
        new = [*value]
        if draws.random() < 0.2:
            del new[at]
        else:
            new[at] = _mutated_once(value[at], draws)
        return new
    key = draws.choice(list(value))
    inside = dict(value)
    match draws.randrange(6):
        case 0:
            del inside[key]
        case 1:
            inside[draws.choice(["", "x", f"{key}_", "\x1b[1m", "type"])] = inside.pop(key)
        case _:
            inside[key] = _mutated_once(value[key], draws)
    return inside
