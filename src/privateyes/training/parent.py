"""Worker processes end with their parent, also in the middle of a job.

Nothing tells a process that its parent was killed. A worker reads it from the end of its pipe, but only between two
jobs, and a job may take minutes.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from multiprocessing.process import BaseProcess
from typing import Final

_NAME: Final = "privateyes-parent"


def leave_with_parent() -> None:
    """End this process as soon as its parent is gone, whatever became of it: a run may be killed at any moment.

    For processes that `multiprocessing` started; does nothing in any other, nor when called again.
    """
    parent = multiprocessing.parent_process()
    if parent is None or any(thread.name == _NAME for thread in threading.enumerate()):
        return
    threading.Thread(target=_wait, args=(parent,), name=_NAME, daemon=True).start()


def _wait(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)  # nobody is left who could be told of an error, and this thread cannot end the others otherwise
