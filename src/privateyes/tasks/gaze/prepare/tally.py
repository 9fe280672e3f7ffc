"""Counts of what a conversion used and skipped, person by person; every skipped thing is named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from privateyes.errors import DataError
from privateyes.tasks.gaze.layout import LONGEST_FRAME


class Skip(NamedTuple):
    """One thing that was left out.

    Attributes:
        reason: a short sentence out of a converter's fixed set, so that skips can be counted by it.
        what: names the frame, the row or the file.
    """

    reason: str
    what: str


@dataclass(slots=True)
class Tally:
    """What became of one person's data. Filled by a converter, kept by the writer.

    Attributes:
        used: rows that were handed over.
        skipped: everything that was not, in the order of the source.
        warnings: what is allowed but deserves a look; goes to the manifest and to stderr.
        attributes: what holds for the person as a whole, such as the part of a published split; goes to the manifest
            and becomes attributes of the person's group.
    """

    used: int = 0
    skipped: list[Skip] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    attributes: dict[str, str] = field(default_factory=dict)

    def use(self, count: int) -> None:
        """`count` rows are about to be handed over."""
        self.used += count

    def skip(self, reason: str, what: str) -> None:
        """One thing is left out. `what` may come from a foreign file: it is made printable and cut."""
        self.skipped.append(Skip(reason, printable(what)))

    def warn(self, text: str) -> None:
        """Something deserves a look; said once for each person."""
        if text not in self.warnings:
            self.warnings.append(printable(text))

    def by_reason(self) -> dict[str, int]:
        """Reason -> how many things were skipped for it, most frequent first."""
        return dict(Counter(skip.reason for skip in self.skipped).most_common())

    def to_json(self) -> dict[str, Any]:
        """For the file beside a person's part."""
        skipped = [list(skip) for skip in self.skipped]
        return {"used": self.used, "skipped": skipped, "warnings": self.warnings, "attributes": self.attributes}

    @classmethod
    def from_json(cls, where: str, content: Mapping[str, Any]) -> Tally:
        """The inverse of `to_json`.

        Raises:
            DataError: the content is no tally.
        """
        try:
            skipped = [Skip(str(reason), str(what)) for reason, what in content["skipped"]]
            attributes = {str(name): str(value) for name, value in content["attributes"].items()}
            return cls(int(content["used"]), skipped, [str(text) for text in content["warnings"]], attributes)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(
                f"{where}: no tally of a conversion", "delete the file to convert this person again"
            ) from error


def printable(text: str) -> str:
    """Text from foreign files without control characters or lone surrogates, and not without end."""
    clean = "".join(character if character.isprintable() else "?" for character in text[: LONGEST_FRAME + 1])
    return clean if len(clean) <= LONGEST_FRAME else clean[: LONGEST_FRAME - 3] + "..."
