"""A host as the Grizzly agent leaves it, made by that agent's own commands.

It shares a fabric with controlled hosts to prove that the two understand each other. Flows are given in OpenFlow 1.0,
as the agent gave them: its frames go through the tunnel with its own local VLAN on them.
"""

from __future__ import annotations

from collections.abc import Iterable

from tests.support.lab.host import LabHost
from tests.support.lab.networks import LabNetwork
from tests.support.lab.vm import Vm

_MULTICAST = "01:00:00:00:00:00/01:00:00:00:00:00"


class GrizzlyHost(LabHost):
    """One host; call :meth:`initialise`, :meth:`add_tunnels`, :meth:`add_gre_network`, then plug VMs and :meth:`wire`.

    Names of tunnel ports and local VLANs are the agent's business, and so differ from a controller's.
    """

    _vlans: dict[LabNetwork, int]

    def initialise(self) -> None:
        """br-int, br-tun and the patch between them."""
        self._vlans = {}
        for bridge in ("br-int", "br-tun"):
            self.ovs.vsctl("add-br", bridge, "--", "set", "Bridge", bridge, "datapath_type=netdev", "fail_mode=secure")
        for bridge, port, peer in (("br-int", "patch-tun", "patch-int"), ("br-tun", "patch-int", "patch-tun")):
            patch = ("--", "set", "Interface", port, "type=patch", f"options:peer={peer}")
            self.ovs.vsctl("add-port", bridge, port, *patch)
            self.ovs.run("ovs-ofctl", "del-flows", bridge)
        self._add_flow("br-int", "priority=1,actions=normal")
        self._add_flow("br-tun", "priority=1,actions=drop")

    def add_tunnels(self, remote_ips: Iterable[str]) -> None:
        """A GRE port for each other host."""
        for remote_ip in remote_ips:
            number = len(self.ovs.vsctl("list-ports", "br-tun").splitlines())
            options = (f'options:remote_ip="{remote_ip}"', "options:in_key=flow", "options:out_key=flow")
            port = f"gre-{number}"
            self.ovs.vsctl("add-port", "br-tun", port, "--", "set", "Interface", port, "type=gre", *options)

    def add_gre_network(self, network: LabNetwork, local_vlan: int, *, untagged: bool = False) -> None:
        """What a network needs once.

        :param untagged: take the local VLAN off what goes into tunnels, as current Neutron agents do
        """
        self._vlans[network] = local_vlan
        strip = "strip_vlan," if untagged else ""
        key, patch = network.segmentation_id, self.ovs.ofport("patch-int")
        into = f"priority=4,in_port={patch},dl_vlan={local_vlan}"
        self._add_flow("br-tun", f"{into},actions={strip}set_tunnel:{key},normal")
        flood = f"priority=3,dl_dst={_MULTICAST},tun_id={key}"
        self._add_flow("br-tun", f"{flood},actions=mod_vlan_vid:{local_vlan},output:{patch}")

    def wire(self, vm: Vm) -> None:
        """What a plugged port needs."""
        vlan = self._vlans[vm.network]
        known = f"priority=3,dl_dst={vm.nic.mac},tun_id={vm.network.segmentation_id}"
        self._add_flow("br-tun", f"{known},actions=mod_vlan_vid:{vlan},normal")
        self.ovs.vsctl("set", "Port", vm.nic.device, f"tag={vlan}")
        self.ovs.run("ovs-ofctl", "del-flows", "br-int", f"in_port={self.ovs.ofport(vm.nic.device)}")

    def unwire(self, vm: Vm) -> None:
        """What a port needs that is about to be unplugged.

        A flow that stays would send on what other hosts still send here for the VM, and they would learn that its
        peers are here: no frame would find its way again.
        """
        known = f"dl_dst={vm.nic.mac},tun_id={vm.network.segmentation_id}"
        self.ovs.run("ovs-ofctl", "del-flows", "br-tun", known)

    def _add_flow(self, bridge: str, flow: str) -> None:
        self.ovs.run("ovs-ofctl", "add-flow", bridge, f"hard_timeout=0,idle_timeout=0,{flow}")
