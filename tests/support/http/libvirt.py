"""What libvirt does with a domain's XML when it starts the VM, as far as Open vSwitch is told of it."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree


def add_port_command(domain: Path) -> list[str]:
    """Arguments of the ovs-vsctl that plugs the first interface of a domain.

    As virNetDevOpenvswitchAddPort() in src/util/virnetdevopenvswitch.c of libvirt puts them together; the elements are
    those of https://libvirt.org/formatdomain.html#bridge-to-lan.
    """
    root = ElementTree.parse(domain).getroot()
    interface = root.find("./devices/interface[@type='bridge']/virtualport[@type='openvswitch']/..")
    assert interface is not None, f"{domain} has no interface of Open vSwitch"

    def value(path: str, attribute: str) -> str:
        element = interface.find(path)
        assert element is not None, f"{domain}: no {path}"
        return element.attrib[attribute]

    name = value("target", "dev")
    ids = {
        "attached-mac": f'"{value("mac", "address")}"',
        "iface-id": f'"{value("virtualport/parameters", "interfaceid")}"',
        "vm-id": f'"{root.findtext("uuid")}"',
        "iface-status": "active",
    }
    vlan = interface.find("vlan")
    column = "trunks" if vlan is not None and vlan.get("trunk") == "yes" else "tag"
    tags = [f"{column}={tag.attrib['id']}" for tag in interface.findall("vlan/tag")]
    columns = [word for key, text in ids.items()
               for word in ("--", "set", "Interface", name, f"external-ids:{key}={text}")]  # fmt: skip
    return ["--", "--may-exist", "add-port", value("source", "bridge"), name, *tags, *columns]
