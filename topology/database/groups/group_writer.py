"""The security groups and address groups of a draft into rows, and what rows of ports say of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from topology.database.tables import ADDRESS_GROUP, SECURITY_GROUP, SECURITY_GROUP_MEMBER, own_row
from topology.model import Port
from topology.ovsdb.edit import Edit, read
from topology.rules.attributes.attributes import RESOURCES
from topology.rules.operations.draft import Draft
from topology.rules.request_errors import not_found
from topology.rules.security.membership import member_addresses
from topology.rules.security.stored_rules import write_rule
from topology.rules.views import encode
from topology.security_groups import SecurityGroup

_Find = Callable[[str, str], "Any | None"]


class GroupWriter:
    """Part of the writing of one draft.

    :param find: kind and id of an object → its row, if there is one
    """

    def __init__(self, edit: Edit, draft: Draft, find: _Find) -> None:
        self._edit = edit
        self._draft = draft
        self._find = find
        self._new: dict[tuple[str, str], Any] = {}

    def write(self) -> None:
        """Write the groups; new ones before any refers to them."""
        draft = self._draft
        for group_id, group in draft.security_groups.items():
            if self._find("security_group", group_id) is None:
                columns = {"id": group_id, "name": group.name, "stateful": group.stateful}
                self._insert("security_group", SECURITY_GROUP, columns)
        for group_id, addresses in draft.address_groups.items():
            values = {"name": addresses.name, "addresses": list(addresses.addresses)}
            row = self._find("address_group", group_id)
            if row is None:
                self._insert("address_group", ADDRESS_GROUP, {"id": group_id, **values})
            else:
                self._edit.set(row, **values, **self._attributes("address_group", group_id))
        for group in draft.security_groups.values():
            self._write_group(group)

    def of_port(self, row: Any | None, port: Port) -> dict[str, Any]:
        """Columns of a port, as far as something of it is filtered or was."""
        old = self._draft.state.ports.get(port.id) if row is not None else None
        if not port.port_security_enabled and (row is None or not read(row, "port_security_enabled")):
            return {}
        columns: dict[str, Any] = {
            "port_security_enabled": port.port_security_enabled,
            "security_groups": [self._row("security_group", group_id) for group_id in port.security_group_ids],
        }
        addresses = self._addresses(port, self._draft.attributes("port", port.id))
        if old is not None and (
            old.security_group_ids == port.security_group_ids
            and addresses == self._addresses(old, self._draft.state.stored("port", port.id))
        ):
            return columns
        if "memberships" not in self._edit.idl.tables["Port"].columns:
            return columns  # of a host that only looks at what it would write
        columns["memberships"] = [
            self._edit.insert(SECURITY_GROUP_MEMBER, group_id=group_id, addresses=list(addresses))
            for group_id in port.security_group_ids
        ]
        return columns

    @staticmethod
    def _addresses(port: Port, stored: Any) -> tuple[str, ...]:
        return member_addresses(port, stored.get("allowed_address_pairs") or ())

    def _write_group(self, group: SecurityGroup) -> None:
        row = self._row("security_group", group.id)
        stored = self._draft.stored
        texts = dict(read(row, "rules")) if ("security_group", group.id) not in self._new else {}
        before = self._draft.state.security_groups.get(group.id)
        for rule in before.rules if before is not None else ():
            texts.pop(rule.id, None)  # what is broken stays, and is told
        for rule in group.rules:
            key = "security_group_rule", rule.id
            texts[rule.id] = write_rule(stored[key] if key in stored else self._draft.state.stored(*key))
        self._edit.set(
            row,
            name=group.name,
            stateful=group.stateful,
            rules=texts,
            remote_groups=self._rows("security_group", (rule.remote_group_id for rule in group.rules)),
            address_groups=self._rows("address_group", (rule.remote_address_group_id for rule in group.rules)),
            **self._attributes("security_group", group.id),
        )

    def _insert(self, kind: str, table: str, columns: dict[str, Any]) -> None:
        object_id = columns["id"]
        columns |= self._attributes(kind, object_id)
        self._new[kind, object_id] = self._edit.insert_as([own_row(object_id)], table, **columns)

    def _rows(self, kind: str, ids: Iterable[str | None]) -> list[Any]:
        return [self._row(kind, object_id) for object_id in sorted({one for one in ids if one is not None})]

    def _row(self, kind: str, object_id: str) -> Any:
        row = self._new.get((kind, object_id)) or self._find(kind, object_id)
        if row is None:
            raise not_found(kind, object_id)
        return row

    def _attributes(self, kind: str, object_id: str) -> dict[str, Any]:
        stored = self._draft.stored.get((kind, object_id))
        return {} if stored is None else {"attributes": encode(RESOURCES[kind], stored)}
