"""Who holds which rows: persons as they come, clients as they train, and the guard between them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from privateyes.errors import DataError

# A person's name has at most 64 characters; a client's adds a device to it. Both may become folder names.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,99}")


@dataclass(frozen=True, slots=True, eq=False)
class PersonRows:
    """What a partition may know of one person's samples: labels and where they come from, no images.

    Attributes:
        labels: (N, 2) gaze (pitch, yaw) in radians, or point of gaze (x, y) in cm; the same kind for all persons.
        device: (N,) index of the device, if known.
        device_names: name of each index; may be shorter, or empty where nobody named the devices.
        day: (N,) recording day or session, if known.
        eye: (N,) 0 left, 1 right, if known.
    """

    labels: NDArray[np.floating] = field(repr=False)
    device: NDArray[np.integer] | None = field(default=None, repr=False)
    device_names: tuple[str, ...] = ()
    day: NDArray[np.integer] | None = field(default=None, repr=False)
    eye: NDArray[np.integer] | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, slots=True, eq=False)
class Share:
    """Some rows of one person.

    Attributes:
        person: whose.
        rows: (M,) int64, ascending: which of the person's samples, as `training.task.LearningTask.examples` lists them.
    """

    person: str
    rows: NDArray[np.int64] = field(repr=False)

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, slots=True, eq=False)
class Partition:
    """Clients and their samples.

    Attributes:
        clients: client -> its shares, by person; clients in the order of their names.
        notes: what people should know about how it was made, in whole sentences.
    """

    clients: Mapping[str, tuple[Share, ...]]
    notes: tuple[str, ...] = field(default=())

    def samples(self) -> dict[str, int]:
        """Client -> number of its samples, which is its weight."""
        return {client: sum(map(len, shares)) for client, shares in self.clients.items()}

    def require_sound(self, train: Collection[str], samples: Mapping[str, int]) -> None:
        """The guard between training and testing, whatever made the partition.

        Args:
            train: the persons who may be trained on; everybody else is tested.
            samples: person -> number of samples.

        Raises:
            DataError: a client holds a row of a person outside `train`, a row that does not exist or that another
                client holds too, or nothing; or a client's name could not be a folder's.
        """
        held: dict[str, list[NDArray[np.int64]]] = {}
        for client, share in self._shares():
            if share.person not in train:
                problem = (
                    f"client {client} would train on {len(share)} samples of {share.person}, a person to be tested on"
                )
                raise DataError(problem, "divide the samples of the training persons only")
            held.setdefault(share.person, []).append(share.rows)
        for person, parts in held.items():
            rows = np.concatenate(parts)
            if len(np.unique(rows)) < len(rows):
                raise DataError(f"two clients hold the same sample of {person}", "give every sample to one client")
            if rows.min() < 0 or rows.max() >= samples[person]:
                problem = f"the clients' samples of {person} reach beyond the {samples[person]} that there are"
                raise DataError(problem, "divide the data that is used")

    def _shares(self) -> Iterator[tuple[str, Share]]:
        for client, shares in self.clients.items():
            if not _NAME.fullmatch(client):
                remedy = "use letters, digits, '-', '_' and '.' in names of persons and devices"
                raise DataError(f"{client!r} cannot be a client's name", remedy)
            if not shares or min(map(len, shares)) == 0:
                raise DataError(f"client {client} has no samples", "divide into fewer clients")
            for share in shares:
                yield client, share


def share_of(person: str, rows: NDArray[np.integer]) -> Share:
    """A person's rows, put in ascending order."""
    return Share(person, np.sort(rows.astype(np.int64)))
