"""When the stages of one port's binding were over, for who follows it through the system."""

from __future__ import annotations

from typing import NamedTuple


class BindingTimes(NamedTuple):
    """A binding of a port. Times are of :func:`time.monotonic`.

    :param device: that carries it
    :param trace: of the request that wrote the port's row (https://www.w3.org/TR/trace-context/, ``traceparent``)
    :param began: the event came that completed it
    :param decided: flows and tag were handed out
    :param flows: the bridges had confirmed its flows
    :param tagged: its tag was seen to be committed
    :param active: it was up
    :param told: the topology was to be told of that; None: it knew
    :param reported: the topology had told that this is committed
    """

    port_id: str
    network_id: str | None
    device: str
    trace: str | None
    began: float
    decided: float
    flows: float
    tagged: float
    active: float
    told: float | None = None
    reported: float | None = None
