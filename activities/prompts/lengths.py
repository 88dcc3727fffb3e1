"""Fitting words into a model's limit."""

_WORD_CHARACTERS_MAX = 60
"""Further back than this there is no end of a word but a script without blanks."""

_LOOSE_ENDS = " ,;:-("


def fit(text: str, characters_max: int) -> str:
    """`text` on one line, cut at a word's end where it is longer; empty only for blank text."""
    line = " ".join(text.split())
    if len(line) <= characters_max:
        return line
    words = line[: characters_max + 1].rpartition(" ")[0].rstrip(_LOOSE_ENDS)
    if not words or len(words) < characters_max - _WORD_CHARACTERS_MAX:
        return line[:characters_max].rstrip()
    return words
