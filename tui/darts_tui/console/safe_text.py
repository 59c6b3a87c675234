"""Makes foreign text harmless: run names, class names, logs, paths, messages of other programs.

A terminal obeys control characters wherever they come from, and neither Textual nor Rich removes
them. All foreign text passes through here before it is printed: control characters become visible
pictures, and direction overrides are removed. No foreign text is read as markup either: callers use
`Text` or `Content` values, or `markup=False`.
"""

import unicodedata

# Characters that reorder or hide their neighbours: embeddings, overrides, isolates, marks, BOM.
_BIDI = {*range(0x200B, 0x2010), *range(0x2028, 0x202F), *range(0x2060, 0x2070), 0xFEFF, 0x061C}


def clean(text: object, limit: int = 0) -> str:
    """One line of harmless text.

    Args:
        text: any value; it is converted with `str`.
        limit: longest result in characters, an ellipsis included; 0 = no limit.

    Returns:
        The text with line breaks and tabs as spaces, C0 controls as their Unicode pictures (ESC is
        shown as U+241B), C1 controls and unpaired surrogates as U+FFFD, and invisible direction
        marks removed.
    """
    out = "".join(map(_picture, str(text)))
    return out if not limit or len(out) <= limit else out[: limit - 1] + "…"


def clean_block(text: object) -> str:
    """Several lines of harmless text: as `clean`, line by line."""
    return "\n".join(clean(line) for line in str(text).splitlines())


def _picture(character: str) -> str:
    code = ord(character)
    if character in "\t\n\r\v\f":
        return " "
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    if code in _BIDI:
        return ""
    if unicodedata.category(character) in ("Cc", "Cs"):
        return "\ufffd"
    return character
