"""What tells a damaged JPEG file that still decodes: the markers inside of its picture data [JPEG].

A file has no checksum, but in its picture data (a scan) the byte 0xFF is always followed by a zero, or by one of the
restart markers D0 to D7 in their order. Overwritten bytes soon break that. Decoders mostly stop there; but in files
with restart markers they fill the gap with whatever is at hand, go on at the next marker, and call it a warning, which
Pillow does not pass on. A block of zeros, or a few changed bits, can still decode into another picture unnoticed.
"""

from __future__ import annotations

import re
from typing import Final

_START: Final = b"\xff\xd8"
_SCAN, _END, _RESTARTS_EVERY = 0xDA, 0xD9, 0xDD
# What may stand between two scans or behind the last one: tables, the number of lines, remarks.
_BETWEEN: Final = frozenset({_SCAN, _END, _RESTARTS_EVERY, 0xC4, 0xCC, 0xDB, 0xDC, 0xFE, *range(0xE0, 0xF0)})
_MARKER: Final = re.compile(rb"\xff+([^\x00\xd0-\xd7\xff])", re.DOTALL)
_RESTART: Final = re.compile(rb"\xff([\xd0-\xd7])", re.DOTALL)


def fault_of_jpeg(content: bytes) -> str | None:
    """What is wrong with the markers of a JPEG file, None if nothing is.

    The head of the file, up to its first scan, is left to the decoder, and so is an end that is missing.

    Args:
        content: the whole file.
    """
    if not content.startswith(_START):
        return None
    place, scans, restarts_every = len(_START), 0, 0
    while place + 4 <= len(content):
        if content[place] != 0xFF:
            return f"byte {place} is no marker" if scans else None
        kind = content[place + 1]
        if kind == 0xFF:  # a marker may be preceded by any number of these
            place += 1
            continue
        if kind == _END:
            return None
        if scans and kind not in _BETWEEN:
            return f"an impossible marker at byte {place}"
        if kind == _RESTARTS_EVERY and place + 6 <= len(content):
            restarts_every = int.from_bytes(content[place + 4 : place + 6], "big")
        place += 2 + int.from_bytes(content[place + 2 : place + 4], "big")
        if kind == _SCAN:
            scans += 1
            found = _MARKER.search(content, place)
            stop = len(content) if found is None else found.start()
            fault = _fault_of_restarts(content, place, stop, restarts_every)
            if fault is not None:
                return fault
            place = stop
    return None


def _fault_of_restarts(content: bytes, start: int, stop: int, restarts_every: int) -> str | None:
    for count, found in enumerate(_RESTART.finditer(content, start, stop)):
        if not restarts_every or found[1][0] & 7 != count % 8:
            return f"a restart marker out of order at byte {found.start()}"
    return None
