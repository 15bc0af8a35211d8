"""One look at a bridge, without being its controller: only requests that change nothing are sent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from os_ken.ofproto import ofproto_v1_3 as ofp

from controller.openflow.channel.openflow_client import Client
from controller.openflow.wire import flow_messages, messages
from controller.openflow.wire.error_names import message_name
from controller.openflow.wire.flow_messages import InstalledFlow
from controller.openflow.wire.framing import validate
from controller.openflow.wire.messages import PortDesc
from topology.errors import FramingError

T = TypeVar("T")


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
    with Client(path, (ofp.OFP_VERSION,), timeout) as client:

        def ask(request: Callable[[int], bytes], kind: int, decode: Callable[[bytes], T]) -> list[T]:
            """The parts of an answer, checked and decoded."""
            parts = []
            for part in client.ask(request):
                try:
                    if part[1] != kind:
                        raise FramingError(f"the answer is {message_name(part[1])}, not {message_name(kind)}")
                    parts.append(decode(part))
                except FramingError as error:
                    raise FramingError(f"{path}: {error}") from None
            return parts

        (features,) = ask(messages.features_request, ofp.OFPT_FEATURES_REPLY, _parsed)
        ports = ask(messages.port_desc_request, ofp.OFPT_MULTIPART_REPLY, _ports)
        flows = ask(flow_messages.flow_stats_request, ofp.OFPT_MULTIPART_REPLY, _flows)
    return BridgeState(
        features.datapath_id,
        tuple(PortDesc.of(port) for part in ports for port in part),
        tuple(flow for part in flows for flow in part),
    )


def _parsed(part: bytes) -> Any:
    validate(part)
    return messages.parsed(part)


def _ports(part: bytes) -> list[Any]:
    validate(part)
    return list(messages.parsed_ports(part).body)


def _flows(part: bytes) -> tuple[InstalledFlow, ...]:
    return flow_messages.decode_flow_stats_reply(part).flows
