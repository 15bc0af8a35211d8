"""One look at a bridge, without being its controller: only requests that change nothing are sent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from controller.openflow.channel.openflow_client import Client
from controller.openflow.wire import flow_messages, messages
from controller.openflow.wire.constants import OFP_VERSION, MessageType
from controller.openflow.wire.flow_messages import InstalledFlow
from controller.openflow.wire.framing import validate
from controller.openflow.wire.messages import PortDesc
from topology.errors import FramingError


@dataclass(frozen=True)
class BridgeState:
    """What a bridge has at one moment."""

    datapath_id: int
    ports: tuple[PortDesc, ...]
    flows: tuple[InstalledFlow, ...]


def read_bridge(path: Path, timeout: float) -> BridgeState:
    """Ask a bridge for its datapath id, its ports and its flows.

    :param path: of the socket that it listens at
    :param timeout: seconds for the connection, and for each of the three answers
    :raises OpenFlowError: nobody answers there, or not as OpenFlow 1.3 has it; the text names ``path``
    """
    with Client(path, (OFP_VERSION,), timeout) as client:

        def ask(request: Callable[[int], bytes], kind: MessageType) -> list[bytes]:
            """The parts of an answer, checked before they are decoded."""
            parts = list(client.ask(request))
            for part in parts:
                try:
                    validate(part)
                    if part[1] != kind:
                        raise FramingError(f"the answer is {MessageType(part[1]).name}, not {kind.name}")
                except FramingError as error:
                    raise FramingError(f"{path}: {error}") from None
            return parts

        (features,) = ask(messages.features_request, MessageType.OFPT_FEATURES_REPLY)
        ports = ask(messages.port_desc_request, MessageType.OFPT_MULTIPART_REPLY)
        flows = ask(flow_messages.flow_stats_request, MessageType.OFPT_MULTIPART_REPLY)
    return BridgeState(
        messages.decode_features_reply(features).datapath_id,
        tuple(port for part in ports for port in messages.decode_port_desc_reply(part).ports),
        tuple(flow for part in flows for flow in flow_messages.decode_flow_stats_reply(part).flows),
    )
