"""Three hosts of a lab with VMs, and an API beside the first that serves the page."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from tests.support.http.api_process import ApiProcess
from tests.support.lab.host import PHYSICAL_BRIDGE
from tests.support.lab.lab import Lab
from tests.support.lab.networks import PHYSICAL_NETWORK
from tests.support.lab.vm import Vm
from tests.support.waiting import wait_until

NETWORKS = (
    ("red", "gre", 101, (("web1", "h1", "10.0.0.1/24"), ("web2", "h1", "10.0.0.2/24"), ("db1", "h2", "10.0.0.3/24"))),
    ("blue", "vxlan", 102, (("app1", "h1", "10.0.1.1/24"), ("app2", "h3", "10.0.1.2/24"))),
    ("green", "vlan", 103, (("edge1", "h2", "10.0.2.1/24"), ("edge2", "h3", "10.0.2.2/24"))),
)
HOSTS = ("h1", "h2", "h3")


@dataclass
class PageLab:
    """What runs.

    :param api: on the machine of the first host
    """

    lab: Lab
    api: ApiProcess

    def port(self, vm: str) -> str:
        """The id of the port of a VM."""
        return str(self.lab.vms[vm].nic.port_id)


@contextmanager
def page_lab() -> Iterator[PageLab]:
    """All of it; needs root."""
    with Lab() as lab:
        for name in HOSTS:
            lab.add_host(name)
        for name, kind, number, vms in NETWORKS:
            network = lab.add_network(name, kind, number)
            for vm, _, address in vms:
                made = lab.add_vm(vm, network, address)
                made.nic = replace(made.nic, more={"name": vm})
        lab.start_topology()
        lab.apply()
        lab.start_controllers(options={"agent": {"tunnel_types": "gre,vxlan"}})
        for _, _, _, vms in NETWORKS:
            for vm, host, _ in vms:
                lab.vms[vm].plug(lab.hosts[host])
        lab.wait_wired()
        first = lab.controllers[HOSTS[0]]
        options: dict[str, dict[str, object]] = {
            "DEFAULT": {"host": HOSTS[0], "run_path": first.run_path},
            "ovs": {
                "ovsdb_connection": first.ovs.db,
                "local_ip": lab.hosts[HOSTS[0]].tunnel_ip(),
                "bridge_mappings": f"{PHYSICAL_NETWORK}:{PHYSICAL_BRIDGE}",
            },
            "agent": {"tunnel_types": "gre,vxlan"},
            "api": {"page": "true"},
        }
        with ApiProcess(lab.topology, options=options) as api:
            wait_until(lambda: len(api.get("/ports?status=ACTIVE")["ports"]) == len(lab.vms), 60, "all are ACTIVE")
            yield PageLab(lab, api)


def ping(one: Vm, other: Vm) -> None:
    """A frame each way, so that flows have been hit."""
    one.wait_reaches(other)
