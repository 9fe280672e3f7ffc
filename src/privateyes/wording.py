"""How numbers and names are shown to people."""

from __future__ import annotations


def counted(number: int, thing: str) -> str:
    """``1 row``, ``2 rows``: for things whose plural ends with s."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def printable(text: str) -> str:
    """A file's text or name as a terminal may show it: what moves the cursor or rewrites is a question mark."""
    return "".join(character if character.isprintable() else "?" for character in text)
