"""A network device of a host that is plugged for one port after another; it is made once, before frames are counted."""

from __future__ import annotations

from typing import Any

from tests.support.lab.host import HostController, LabHost


class SpareDevice:
    """One device; see :meth:`tests.support.lab.vm.Vm.cable` for why it is not made anew.

    :param controller: of its host
    """

    def __init__(self, host: LabHost, controller: HostController) -> None:
        self.name = f"spare-{host.name}"
        self._host, self._controller = host, controller
        if not self._exists():
            host.namespace.ip(
                f"link add {self.name} type veth peer name other-{host.name}",
                f"link set other-{host.name} up",
                f"link set {self.name} promisc on up",
            )

    def _exists(self) -> bool:
        return f"{self.name}@" in self._host.namespace.run("ip", "-oneline", "link", "show")

    def plug(self, port: dict[str, Any]) -> None:
        """Plug it for a port, as the Network API shows that, and wait until it is bound."""
        ids = (f"external_ids:iface-id={port['id']}", f'external_ids:attached-mac="{port["mac_address"]}"')
        self._host.ovs.vsctl("--", "add-port", "br-int", self.name, "--", "set", "Interface", self.name, *ids)
        self._controller.wait_device(self.name, id=port["id"], status="ACTIVE")

    def unplug(self) -> None:
        """Unplug it again."""
        self._host.ovs.unplug(self.name)

    def bind(self, port: dict[str, Any]) -> None:
        """Plug it for a port, wait until that is bound, and unplug it again."""
        self.plug(port)
        self.unplug()
