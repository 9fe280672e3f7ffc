"""The error tree. Each class says what raising it proves, and about whom.

    PrivateyesError                something is wrong; carries the problem and the remedy
    ├── UsageError                 the caller asked for something that cannot be done
    │   ├── ConfigError            a key of an experiment file or a manifest
    │   ├── DataError              a data file, or one image or label in it
    │   ├── RunDirectoryError      a run's directory: occupied, foreign or damaged
    │   ├── ParameterError         protocol parameters that would be unsafe
    │   ├── TrainingError          training produced something unusable, such as a NaN
    │   ├── ConvergedError         training gave weights that it had before: it is over, and what it reached stands
    │   └── EngineError            a program that works for this one is missing, cannot be installed or failed
    ├── MalformedError             these bytes are no valid message; says nothing about who made them
    └── ProtocolError              a party stopped, and stopping was right
        ├── RefusedError           this party's own guard said no; nothing was sent, nothing is proven about others
        ├── BlamedError            signed statements prove that the named party misbehaved
        └── AbortError             the step cannot be taken with what came; somebody misbehaved, and nothing shows who
            └── DeliveryError      a client refuses a result, and at which check

Errors of the first branch reach people as one line: the problem, then the remedy.
"""

from __future__ import annotations


class PrivateyesError(Exception):
    """What went wrong and what to do about it, in one line.

    Args:
        problem: names the thing (the key, the file, the party) and what is wrong with it.
        remedy: what the reader can do; may be empty where nothing can be done.
    """

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(problem, remedy)
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.problem}; {self.remedy}" if self.remedy else self.problem


class UsageError(PrivateyesError):
    """The caller asked for something that cannot be done."""


class ConfigError(UsageError):
    """A key of an experiment file or a manifest is unknown, missing or has an impossible value."""


class DataError(UsageError):
    """A data file, or an image or label in it, cannot be used."""


class RunDirectoryError(UsageError):
    """A run's directory is occupied, belongs to another run or is damaged."""


class ParameterError(UsageError):
    """Protocol parameters are unsafe: a sum could wrap, a roster could be too small."""


class TrainingError(UsageError):
    """Local training produced something that must not be averaged, such as a NaN."""


class ConvergedError(UsageError):
    """A server step gave weights that the task had before: there is nothing to go on with, and its results stand."""


class EngineError(UsageError):
    """A program that works for this one, in an environment of its own, is missing, cannot be installed or failed."""


class MalformedError(PrivateyesError):
    """Bytes do not encode a message. Nothing is known about who made them."""


class ProtocolError(PrivateyesError):
    """A party of the aggregation protocol stopped."""


class RefusedError(ProtocolError):
    """A party's own guard refused a request. Nothing is proven about anyone."""


class BlamedError(ProtocolError):
    """Signed statements prove that one party misbehaved.

    Args:
        party: the name of the party that is proven guilty, for example ``aggregator 2``.
    """

    def __init__(self, party: str, problem: str, remedy: str = "") -> None:
        super().__init__(f"{party}: {problem}", remedy)
        self.party = party


class AbortError(ProtocolError):
    """A step cannot be taken with what came. Somebody misbehaved, and nothing shows who.

    What came may be asked for again; if that does not help, the session is given up.
    """


class DeliveryError(AbortError):
    """A client refuses the result of a round. Its complaint names the session and the check, nothing else.

    Args:
        check: the number of the check that failed (aggregation/result.py).
    """

    def __init__(self, check: int, problem: str, remedy: str = "") -> None:
        super().__init__(problem, remedy)
        self.check = check
