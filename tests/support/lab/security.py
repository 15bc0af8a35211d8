"""Security groups of the lab, written into its topology database row by row, at once and whole."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from tests.support.lab.lab import Lab
from tests.support.lab.netns import run
from tests.support.lab.vm import Vm

Rule = Mapping[str, Any]
"""As the Network API has it: ``direction``, ``ethertype``, ``protocol`` and so on."""


def group_id(name: str) -> str:
    """The id of a group of the lab."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, name))


def rule(direction: str, ethertype: str = "IPv4", protocol: str | None = None, **more: Any) -> dict[str, Any]:
    """A rule; ``ports``: first and last port, or type and code; ``group`` and ``addresses``: names of remote groups."""
    made: dict[str, Any] = {"direction": direction, "ethertype": ethertype, "protocol": protocol}
    if "ports" in more:
        made["port_range_min"], made["port_range_max"] = more.pop("ports")
    if "group" in more:
        made["remote_group_id"] = group_id(more.pop("group"))
    if "addresses" in more:
        made["remote_address_group_id"] = group_id(more.pop("addresses"))
    return {**made, **more}


ANY = [rule(direction, ethertype) for direction in ("ingress", "egress") for ethertype in ("IPv4", "IPv6")]
"""All that there is."""


class LabSecurity:
    """Writes groups and the security of ports."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._groups: dict[str, str] = {}
        """Name of a group → UUID of its row; address groups too."""

    def _transact(self, *operations: Mapping[str, Any]) -> list[Any]:
        text = json.dumps(["Tunbridge_Topology", *operations])
        answer: list[Any] = json.loads(run("ovsdb-client", "transact", self._lab.topology, text))
        assert not any("error" in result for result in answer), answer
        return answer

    def address_group(self, name: str, addresses: Iterable[str]) -> None:
        """Make an address group, or give it other addresses."""
        row = {"id": group_id(name), "name": name, "addresses": ["set", list(addresses)]}
        self._put("AddressGroup", name, row)

    def group(self, name: str, rules: Iterable[Rule], *, stateful: bool = True) -> None:
        """Make a group, or give it other rules; groups that these name have to be there, but for itself."""
        texts, remotes, lists = [], set(), set()
        for number, one in enumerate(rules):
            texts.append([str(uuid.uuid5(uuid.UUID(group_id(name)), str(number))), json.dumps(one)])
            remotes.add(one.get("remote_group_id"))
            lists.add(one.get("remote_address_group_id"))
        row: dict[str, Any] = {"id": group_id(name), "name": name, "stateful": stateful, "rules": ["map", texts]}
        if group_id(name) in remotes and name not in self._groups:
            self._put("SecurityGroup", name, {"id": group_id(name)})
        row["remote_groups"] = self._references(remotes)
        row["address_groups"] = self._references(lists)
        self._put("SecurityGroup", name, row)

    def _references(self, ids: Iterable[str | None]) -> list[Any]:
        by_id = {group_id(name): row for name, row in self._groups.items()}
        return ["set", [["uuid", by_id[one]] for one in ids if one is not None]]

    def _put(self, table: str, name: str, row: Mapping[str, Any]) -> None:
        if name in self._groups:
            where = [["_uuid", "==", ["uuid", self._groups[name]]]]
            self._transact({"op": "update", "table": table, "where": where, "row": row})
        else:
            (made,) = self._transact({"op": "insert", "table": table, "row": row})
            self._groups[name] = made["uuid"][1]

    def delete_group(self, name: str) -> None:
        """Take a group from all ports that have it, and away."""
        reference = ["uuid", self._groups.pop(name)]
        out = {"op": "mutate", "where": []}
        gone = ["set", [reference]]
        self._transact(
            {**out, "table": "Port", "mutations": [["security_groups", "delete", gone]]},
            {**out, "table": "SecurityGroup", "mutations": [["remote_groups", "delete", gone]]},
            {"op": "delete", "table": "SecurityGroup", "where": [["_uuid", "==", reference]]},
        )

    def secure(self, vm: Vm, *groups: str, members: Mapping[str, Iterable[str]] | None = None) -> None:
        """Give a VM's port security and groups; its addresses are members of these.

        :param members: group → addresses, in place of its own
        """
        own = [address.partition("/")[0] for address in vm.nic.addresses]
        told = members if members is not None else dict.fromkeys(groups, own)
        rows = [
            {
                "op": "insert",
                "table": "SecurityGroupMember",
                "uuid-name": f"m{number}",
                "row": {"group_id": group_id(name), "addresses": ["set", list(addresses)]},
            }
            for number, (name, addresses) in enumerate(told.items())
        ]
        values = {
            "port_security_enabled": True,
            "security_groups": ["set", [["uuid", self._groups[name]] for name in groups]],
            "memberships": ["set", [["named-uuid", f"m{number}"] for number in range(len(rows))]],
        }
        self.update(vm, values, *rows)

    def unsecure(self, vm: Vm) -> None:
        """Take port security off a VM's port."""
        nothing = ["set", list[Any]()]
        self.update(vm, {"port_security_enabled": False, "security_groups": nothing, "memberships": nothing})

    def pairs(self, vm: Vm, *pairs: tuple[str, str]) -> None:
        """Give a VM's port address pairs: CIDR and MAC address."""
        text = json.dumps([{"ip_address": cidr, "mac_address": mac} for cidr, mac in pairs])
        key = "allowed_address_pairs"
        where = [["id", "==", vm.nic.port_id]]
        self._transact(
            {"op": "mutate", "table": "Port", "where": where, "mutations": [["attributes", "delete", ["set", [key]]]]},
            {
                "op": "mutate",
                "table": "Port",
                "where": where,
                "mutations": [["attributes", "insert", ["map", [[key, text]]]]],
            },
        )

    def update(self, vm: Vm, row: Mapping[str, Any], *before: Mapping[str, Any]) -> None:
        """Give columns of a VM's port other values.

        :param before: operations that come first, in the same transaction
        """
        where = [["id", "==", vm.nic.port_id]]
        answer = self._transact(*before, {"op": "update", "table": "Port", "where": where, "row": row})
        assert answer[-1]["count"] == 1, f"the topology has no port {vm.nic.port_id}"
