"""Objects of the model as columns of their rows: one place for all that write them."""

from __future__ import annotations

from typing import Any

from topology.model import Network, Port, Subnet
from topology.rules.allocation.segment_allocation import SegmentKey


def network_columns(network: Network) -> dict[str, Any]:
    """Of Network, without the references to other rows."""
    return {
        "name": network.name,
        "network_type": network.network_type.value,
        "admin_state_up": network.admin_state_up,
    }


def segment_columns(key: SegmentKey) -> dict[str, Any]:
    """Of Segment."""
    return {
        "network_type": key.network_type.value,
        "physical_network": key.physical_network,
        "segmentation_id": key.segmentation_id,
    }


def subnet_columns(subnet: Subnet) -> dict[str, Any]:
    """Of Subnet."""
    return {
        "name": subnet.name,
        "cidr": subnet.cidr,
        "gateway_ip": [subnet.gateway_ip] if subnet.gateway_ip else [],
    }


def port_columns(port: Port) -> dict[str, Any]:
    """Of Port, without the references to other rows and what its host reports."""
    return {
        "name": port.name,
        "mac_address": port.mac_address,
        "device_id": port.device_id,
        "device_owner": port.device_owner,
        "admin_state_up": port.admin_state_up,
        "requested_host": [port.requested_host] if port.requested_host else [],
    }
