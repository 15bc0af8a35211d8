"""The Open vSwitch of this host, seen and changed through its OVSDB."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from controller.vswitch.adoption import keep_flows, rundir
from controller.vswitch.bridge_setup import (
    BridgeLayout,
    WantedBridges,
    bridges_to_be_flushed,
    misplaced,
    once_connected,
    secure,
    set_up,
    tell_vswitchd,
)
from controller.vswitch.interface_rows import TABLES, RowTracker, VSwitchBatch
from controller.vswitch.ipsec import monitor_problem, without_secrets
from controller.vswitch.row_drift import LayoutDrift
from controller.vswitch.tagging import Tagging
from topology.errors import VSwitchError, VSwitchUnavailable
from topology.ovsdb.edit import Edit
from topology.ovsdb.preview import attempt, preview, value_of
from topology.ovsdb.replica import ErrorTypes, Replica
from topology.ovsdb.tls import TlsFiles

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Attempt:
    """What the set-up of bridges would come to.

    :param present: names of the bridges that are there now
    :param interfaces: bridge → names of the interfaces that it would have
    """

    present: frozenset[str]
    interfaces: Mapping[str, tuple[str, ...]]


class VSwitch(Replica[VSwitchBatch]):
    """The local OVSDB.

    :param connection: ``[ovs] ovsdb_connection``
    :param tls: certificates, where that is TLS
    :raises ConfigError: they are missing or cannot be used
    """

    def __init__(self, connection: str, layout: BridgeLayout, tls: TlsFiles | None = None) -> None:
        names = layout.names
        others = frozenset(names.bridges) - {names.integration_bridge}
        self._tracker = RowTracker(names.integration_bridge, names.patch_ports, others)
        self.layout_drift = LayoutDrift()
        self._layout = layout
        self._rundir = rundir(connection)
        super().__init__(
            connection,
            "Open_vSwitch",
            tables=TABLES,
            convert=self._tracker.convert,
            tls=tls,
            errors=ErrorTypes(conflict=VSwitchError, failed=VSwitchError, unavailable=VSwitchUnavailable),
        )

    def set_up(self, wanted: WantedBridges) -> tuple[list[str], dict[str, str]]:
        """Make bridges, patches and tunnel ports as they should be; see :func:`controller.vswitch.bridge_setup.set_up`.

        A bridge that loses its flows by that has them again before it gets us as its controller, so that nobody has
        compared them with what should be there.

        :returns: what had to be changed, and the ports that could not be made with the reason
        :raises VSwitchError: the database refused, or does not answer
        """
        done = []
        for name in self.transact(lambda edit: bridges_to_be_flushed(edit, self._layout)):
            done += keep_flows(self._rundir, name, partial(self.transact, partial(secure, name=name)))

        def make(edit: Edit) -> tuple[dict[str, bool], list[str], dict[str, str]]:
            bridges = {row.name: row.mcast_snooping_enable for row in edit.rows("Bridge").values()}
            return bridges, set_up(edit, self._layout, wanted), misplaced(edit, self._layout, wanted)

        bridges, changed, elsewhere = self.transact(make)
        done += changed
        snooping = {name for name, snoops in bridges.items() if snoops}
        self.layout_drift.compare((wanted, snooping), bridges, done)
        return done, elsewhere

    def retry_ports(self, ports: Mapping[str, str]) -> None:
        """Have ovs-vswitchd go through its configuration, so that it tries again to make what it could not.

        :param ports: name of what it could not make → why
        :raises VSwitchError: the database refused, or does not answer
        """
        self.transact(tell_vswitchd)

    def tag(self, wanted: Mapping[str, Tagging]) -> None:
        """Write tags in one transaction that does not wait for ovs-vswitchd; Ports that are gone are passed over.

        :param wanted: name of a Port → what it should say
        :raises VSwitchError: the database refused, or does not answer; nothing was written
        """
        self.transact(lambda edit: self._write_tags(edit, wanted, edit.overwrite))

    def attempt(self, wanted: WantedBridges) -> Attempt:
        """What :meth:`set_up` would come to; nothing is changed.

        :raises VSwitchError: as of :meth:`set_up`
        """

        def change(edit: Edit) -> Attempt:
            present = frozenset(row.name for row in edit.rows("Bridge").values())
            set_up(edit, self._layout, wanted)
            bridges = {row.name: value_of(row, "ports") for row in edit.rows("Bridge").values()}
            return Attempt(
                present,
                {name: tuple(one.name for port in ports for one in port.interfaces) for name, ports in bridges.items()},
            )

        return attempt(self, change)

    def preview(self, wanted: WantedBridges, tags: Mapping[str, Tagging]) -> list[str]:
        """What :meth:`set_up` and :meth:`tag` together would change until all is connected; nothing is.

        :returns: one line for each row; see :func:`topology.ovsdb.preview.preview`
        :raises VSwitchError: as of these
        """

        def change(edit: Edit) -> None:
            set_up(edit, self._layout, wanted)
            once_connected(edit, self._layout)
            self._write_tags(edit, tags, lambda row, values: edit.set(row, **values))

        return list(map(without_secrets, preview(self, TABLES, change)))

    def ipsec_problem(self) -> str | None:
        """Why tunnels that are to be encrypted are not, as far as that is seen here; None: nothing says so."""
        if self._layout.ipsec is None or self._rundir is None:  # on another machine nothing is seen
            return None
        return monitor_problem(self._rundir)

    def _write_tags(
        self, edit: Edit, wanted: Mapping[str, Tagging], write: Callable[[Any, Mapping[str, Any]], object]
    ) -> None:
        rows, is_unseen = edit.rows("Port"), False
        for name, tagging in wanted.items():
            port = self._tracker.port(name)
            row = None if port is None else rows.get(port.row)
            if port is None or row is None or tagging.agrees(port.vlans, port.other_config):
                continue
            present, right = port.vlans.row, tagging.columns.row
            differing: dict[str, Any] = {name: value for name, value in right.items() if value != present[name]}
            if (written := tagging.written(port.other_config)) != port.other_config:
                differing["other_config"] = written
            write(row, differing)
            is_unseen |= port.vlans.tag == tagging.tag and port.vlans != tagging.columns
        if is_unseen:
            tell_vswitchd(edit)
