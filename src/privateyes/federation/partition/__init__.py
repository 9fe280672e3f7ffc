"""How the samples of the training persons are divided into clients.

    shares     who holds which rows, and the guard that keeps test persons out
    settings   the kinds of partition and their numbers
    devices    a person's devices: by name, by recording day, by blocks of rows
    skews      clients with skewed labels, clients of skewed sizes
    bins       cells of gaze, and how far a client's distribution is from everybody's
    divide     a partition from settings, data and seed

Free of torch and of files: it sees labels and the columns that tell devices, days and eyes apart, never images.
"""

from __future__ import annotations

from privateyes.federation.partition.bins import ClientStatistics, client_statistics
from privateyes.federation.partition.divide import divide
from privateyes.federation.partition.settings import KINDS, PartitionSettings
from privateyes.federation.partition.shares import Partition, PersonRows, Share

__all__ = [
    "KINDS",
    "ClientStatistics",
    "Partition",
    "PartitionSettings",
    "PersonRows",
    "Share",
    "client_statistics",
    "divide",
]
