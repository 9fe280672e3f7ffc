"""One round of Flower in one process: FedAvg in the clear, or SecAgg+. Import it only where flwr is installed.

Flower's own workflows and client mod run as they are; only its network is replaced: messages reach the clients as
objects, one after the other, without serialisation, gRPC or a simulation engine. That is less than a deployment costs.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

import numpy as np
from flwr.client import ClientApp, NumPyClient
from flwr.client.mod import secaggplus_mod
from flwr.common import ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.server import Grid, LegacyContext, ServerConfig, SimpleClientManager
from flwr.server.client_proxy import ClientProxy
from flwr.server.strategy import FedAvg
from flwr.server.workflow import DefaultWorkflow, SecAggPlusWorkflow
from numpy.typing import NDArray

CONFIG, PARAMETERS, CURRENT_ROUND = "config", "parameters", "current_round"
THRESHOLD = 8
ALL_SHARES = 1.0


class _Update(NumPyClient):
    """A client whose training takes no time."""

    def __init__(self, update: NDArray[np.float32], weight: int) -> None:
        self._update, self._weight = update, weight

    def fit(self, parameters: object, config: object) -> tuple[list[NDArray[np.float32]], int, dict[str, float]]:  # noqa: ARG002
        return [self._update], self._weight, {}


class _Proxy(ClientProxy):
    """Stands for a client where a strategy samples; the workflows send messages through the grid instead."""

    def __init__(self, node_id: int) -> None:
        super().__init__(str(node_id))
        self.node_id = node_id

    def _unused(self, *_: object) -> None:
        raise NotImplementedError

    get_properties = get_parameters = fit = evaluate = reconnect = _unused


class _InProcess(Grid):
    """Hands every message to its client and the reply back."""

    def __init__(self, app: ClientApp, nodes: Iterable[int]) -> None:
        self._app, self._contexts = app, {node: _context(node) for node in nodes}

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:  # noqa: ARG002
        replies = []
        for message in messages:
            message.content = _own_copy(message.content)
            reply = self._app(message, self._contexts[message.metadata.dst_node_id])
            replies.append(reply)
        return replies

    def get_node_ids(self) -> list[int]:
        return list(self._contexts)

    def _unused(self, *_: object, **__: object) -> None:
        raise NotImplementedError

    set_run = create_message = push_messages = pull_messages = _unused
    run = property(_unused)


def _own_copy(content: RecordDict) -> RecordDict:
    """As a network would deliver it: a client changes what it gets, and several get one object here."""
    return RecordDict(
        {name: ConfigRecord(dict(own)) if isinstance(own, ConfigRecord) else own for name, own in content.items()}
    )


def _be_a_task() -> None:
    """Give this process the identity from which newer versions of Flower address messages."""
    try:
        from flwr.supercore.task_identity import TaskIdentity
    except ImportError:
        return
    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, 1, 1


def _context(node: int) -> Context:
    return Context(run_id=1, node_id=node, node_config={}, state=RecordDict(), run_config={})


class FlowerRound:
    """A round that is ready to run.

    Args:
        updates: one client's each.
        weight: of each.
        secure: SecAgg+ with the full graph, or FedAvg in the clear.
    """

    def __init__(self, updates: list[NDArray[np.float32]], weight: int, secure: bool) -> None:
        logging.getLogger("flwr").setLevel(logging.ERROR)
        _be_a_task()
        nodes = range(1, len(updates) + 1)
        self._grid = _InProcess(_app(updates, weight, secure), nodes)
        manager = SimpleClientManager()
        for node in nodes:
            manager.register(_Proxy(node))
        strategy = FedAvg(fraction_fit=1.0, min_fit_clients=len(updates), min_available_clients=len(updates))
        self._context = LegacyContext(_context(0), ServerConfig(num_rounds=1), strategy, manager)
        self._context.state[CONFIG] = ConfigRecord({CURRENT_ROUND: 1})
        self._context.state[PARAMETERS] = ArrayRecord([np.zeros_like(updates[0])])
        secagg = SecAggPlusWorkflow(ALL_SHARES, THRESHOLD, max_weight=float(weight))
        self._workflow = secagg if secure else DefaultWorkflow().fit_workflow

    def run(self) -> NDArray[np.float32]:
        """The average, (d,)."""
        self._workflow(self._grid, self._context)
        average: NDArray[np.float32] = self._context.state[PARAMETERS].to_numpy_ndarrays()[0]
        return average


def _app(updates: list[NDArray[np.float32]], weight: int, secure: bool) -> ClientApp:
    def client_of(context: Context) -> object:
        return _Update(updates[context.node_id - 1], weight).to_client()

    return ClientApp(client_of, mods=[secaggplus_mod] if secure else [])
