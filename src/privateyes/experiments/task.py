"""What a task brings to experiments: here its metrics; their words go into every table, sentence, chart and page."""

from __future__ import annotations

from privateyes.errors import DataError
from privateyes.training.metric import Metric


class Task:
    """What is learned, and the words for it; an experiment file names it.

    Attributes:
        metrics: everything that it can be measured by. A run's files name one by its key, or none if it is the first.
    """

    metrics: tuple[Metric, ...]

    def metric(self, key: str | None) -> Metric:
        """The metric of a key; the first if there is none.

        Raises:
            DataError: the task has no such metric.
        """
        if key is None:
            return self.metrics[0]
        for metric in self.metrics:
            if metric.key == key:
                return metric
        known = ", ".join(metric.key for metric in self.metrics)
        raise DataError(f'unit "{key}" is not known to this task', f"it knows {known}")
