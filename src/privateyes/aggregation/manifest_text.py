"""What a manifest's text and the names in it may look like, checked before a parser or a table shows them to anybody.

A manifest is flat: keys with values, one table for the task's privacy, and a table for each party. TOML itself is not:
20 kB of dotted keys become 400 MB of nested dictionaries. So the text is held against the few lines that a manifest
has, in time and memory that its size bounds, and only then parsed.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from privateyes.errors import ConfigError

LONGEST_LINE: Final = 8192
LONGEST_NAME: Final = 200
MOST_KEYS: Final = 64
MOST_TABLES: Final = 16

# Possessive quantifiers throughout: a line that does not match is given up after one look at each character.
_SPACE: Final = r"[ \t]*+"
_KEY: Final = r"[A-Za-z0-9_-]{1,64}+"
_WORD: Final = r"[A-Za-z0-9_.:+-]{1,1000}+"  # a number or true or false; longer ones cannot be shown in an error
_TEXT: Final = r""""(?:[^"\\]|\\.)*+"|'[^']*+'"""
_SCALAR: Final = rf"(?:{_TEXT}|{_WORD}){_SPACE}"
_LIST: Final = rf"\[{_SPACE}(?:{_SCALAR}(?:,{_SPACE}{_SCALAR})*+,?{_SPACE})?\]"
_END: Final = rf"{_SPACE}(?:#.*)?"
_PAIR: Final = re.compile(rf"{_SPACE}{_KEY}{_SPACE}={_SPACE}(?:{_SCALAR}|{_LIST}){_END}")
_HEAD: Final = re.compile(rf"{_SPACE}(?:\[{_SPACE}({_KEY}){_SPACE}\]|\[\[{_SPACE}({_KEY}){_SPACE}\]\]){_END}")
_NOTHING: Final = re.compile(_END)

_UNSEEN: Final = {
    "Cc": "a control character",
    "Cf": "a format character, such as one that turns the direction of reading",
    "Zl": "a line separator",
    "Zp": "a paragraph separator",
    "Cs": "half a surrogate pair",
    "Co": "a private character, which looks different everywhere",
    "Cn": "a character that Unicode does not know",
}


# What programs may show as nothing at all (Unicode, Default_Ignorable_Code_Point, as far as no category above has it),
# and the blank Braille pattern.
_IGNORED: Final = frozenset(
    {
        0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0, *range(0x180B, 0x1810), *range(0xFE00, 0xFE10),
        *range(0xE0100, 0xE01F0),
    }
)  # fmt: skip


def require_flat(text: str) -> None:
    """Refuse a text that is not as flat as a manifest.

    Accepted are keys without dots whose value stands on the same line (a text, a number, a list of these), tables and
    lists of tables of one plain name, comments and empty lines. Whether all of it is TOML is for a parser to say.

    Guarantees:
        A parser's time and memory for an accepted text are linear in its length: nothing nests, no line is longer than
        8192 characters, no table has more than 64 keys, and all tables together have 16 names.

    Raises:
        ConfigError: names the line.
    """
    keys, tables = 0, set()
    for number, line in enumerate(text.split("\n"), start=1):
        if len(line) > LONGEST_LINE:
            raise _refused(number, f"is longer than {LONGEST_LINE} characters", "give the task's manifest.toml")
        line = line.removesuffix("\r")
        if _PAIR.fullmatch(line):
            keys += 1
        elif head := _HEAD.fullmatch(line):
            tables.add(head[1] or head[2])
            keys = 0
        elif not _NOTHING.fullmatch(line):
            raise _not_flat(number, line.strip())
        if keys > MOST_KEYS or len(tables) > MOST_TABLES:
            what = f"{MOST_KEYS} keys in a table" if keys > MOST_KEYS else f"{MOST_TABLES} kinds of tables"
            raise _refused(number, f"is beyond {what}, which no manifest has", "give the task's manifest.toml")


def require_plain_name(text: str, where: str) -> None:
    """Refuse a name that is not what it looks like in a table or an error.

    Characters that are not seen, that turn the direction of reading or that begin another line make one party look
    like another. Letters of different scripts that look alike are not told apart here: compare the keys' fingerprints.

    Args:
        text: of a party, its operator or a person.
        where: what the error begins with, such as ``[[clients]] number 3: name``.

    Raises:
        ConfigError: the name is empty, too long, begins or ends with a space, has such a character, or could be written
            with fewer: only the composed form (NFC) is taken, so that what looks the same is the same.
    """
    remedy = "use 1 to 200 printable characters"
    if not text or len(text) > LONGEST_NAME:
        raise ConfigError(f"{where} has {len(text)} characters", remedy)
    for character in text:
        ignored = "a character that is shown as nothing" if ord(character) in _IGNORED else None
        unseen = _UNSEEN.get(unicodedata.category(character), ignored)
        if unseen is not None:
            raise ConfigError(f"{where}: {text!a} holds {unseen}", remedy)
    if text != text.strip():
        raise ConfigError(f"{where}: {text!r} begins or ends with a space", "remove the space")
    if unicodedata.combining(text[0]) or text != unicodedata.normalize("NFC", text):
        raise ConfigError(f"{where}: {text!a} is not written in composed characters (Unicode NFC)", "type it anew")


def _not_flat(number: int, line: str) -> ConfigError:
    key, _, value = (part.strip() for part in line.partition("="))
    if line.startswith("["):
        return _refused(number, "is no table with one plain name", "write [name] or [[name]]")
    if value and re.search(r"""[."']""", key):
        return _refused(number, "has a dotted or quoted key", "write the key as one plain word")
    if value.startswith("{"):
        return _refused(number, "has a table as a value", "write [name] or [[name]] and the keys below it")
    if value.startswith(("[", '"""', "'''")):
        what = "a list that nests or does not end" if value.startswith("[") else "a text of several lines"
        return _refused(number, f"has {what}", "write the value on one line, without lists in lists")
    return ConfigError(
        f"the manifest is not valid TOML (line {number} is neither key = value nor the head of a table)",
        "correct that line",
    )


def _refused(number: int, what: str, remedy: str) -> ConfigError:
    return ConfigError(f"the manifest, line {number} {what}", remedy)
