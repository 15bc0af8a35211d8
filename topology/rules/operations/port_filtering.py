"""Whether a port is secured, by which groups, and what goes together with that; as Neutron has it.

Two things are otherwise: an empty list of groups secures no port, and address pairs of ports without security are kept
where their network is without too, as they are where nothing is filtered.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from topology.model import Network, Port
from topology.rules.attributes.attributes import UNSET
from topology.rules.operations.draft import Draft
from topology.rules.operations.group_operations import ensure_default
from topology.rules.request_errors import BadRequest, InUse

ENABLED, GROUPS, PAIRS = "port_security_enabled", "security_groups", "allowed_address_pairs"

_TRUSTED = "network:"
"""What ``device_owner`` of ports begins with that belong to the network itself."""


def security(
    draft: Draft, port_id: str, network: Network, values: Mapping[str, Any], old: Port | None
) -> dict[str, Any]:
    """The fields of a port that say what is filtered.

    :param values: that it is given
    :param old: as it is; None: it is made
    :raises ResourceError: they do not go together
    """
    given = {name: value for name, value in values.items() if value is not UNSET}
    is_secured = _is_secured(draft, network, given, old)
    groups = given.get(GROUPS)
    if not is_secured:
        _check_unsecured(draft, port_id, network, given, old)
        return {ENABLED: False, "security_group_ids": ()}
    if groups is None and old is not None:
        ids = old.security_group_ids
    elif groups is None:
        ids = (ensure_default(draft, given.get("project_id", "")),)
    else:
        ids = tuple(sorted(groups))
    if groups is not None:
        _check_groups(draft, ids)
    return {ENABLED: True, "security_group_ids": ids}


def _is_secured(draft: Draft, network: Network, given: Mapping[str, Any], old: Port | None) -> bool:
    if old is not None:
        return bool(given.get(ENABLED, old.port_security_enabled))
    if str(given.get("device_owner", "")).startswith(_TRUSTED):
        return False
    if ENABLED in given or given.get(GROUPS):
        return bool(given.get(ENABLED, True))
    return is_secured_network(draft, network)


def is_secured_network(draft: Draft, network: Network) -> bool:
    """Whether its ports are secured where they do not say."""
    return bool(draft.attributes("network", network.id).get(ENABLED, False))


def _check_unsecured(draft: Draft, port_id: str, network: Network, given: Mapping[str, Any], old: Port | None) -> None:
    was_secured = old is not None and old.port_security_enabled
    if was_secured or is_secured_network(draft, network):
        asked = PAIRS in given or (was_secured and not draft.may_move)
        pairs = given.get(PAIRS, draft.attributes("port", port_id).get(PAIRS) if old is not None else None)
        is_trusted = str(given.get("device_owner", "")).startswith(_TRUSTED)
        if asked and pairs and not draft.may_move and not is_trusted:
            text = "Port Security must be enabled in order to have allowed address pairs on a port."
            raise InUse("AddressPairAndPortSecurityRequired", text, attribute=PAIRS)
    if given.get(GROUPS) and not (old is None and str(given.get("device_owner", "")).startswith(_TRUSTED)):
        text = "Port security must be enabled and port must have an IP address in order to use security groups."
        raise BadRequest("PortSecurityAndIPRequiredForSecurityGroups", text, attribute=GROUPS, reason=text.rstrip("."))
    if old is not None and old.security_group_ids and GROUPS not in given:
        text = (
            "Port has security group associated. Cannot disable port security or IP address until security group is "
            "removed."
        )
        raise InUse("PortSecurityPortHasSecurityGroup", text, attribute=ENABLED)


def _check_groups(draft: Draft, ids: tuple[str, ...]) -> None:
    """They are there, and all stateful or none."""
    if len({draft.security_group(group_id).stateful for group_id in ids}) > 1:
        text = "Cannot apply both stateful and stateless security groups on the same port at the same time"
        raise InUse("SecurityGroupConflict", f"Error {text} while attempting the operation.", reason=text)
