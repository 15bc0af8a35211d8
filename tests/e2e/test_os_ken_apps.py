"""An os-ken application that has all frames sent to the controller: they pass, ports are bound, nothing is closed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.lab.lab import Lab
from tests.support.lab.probe import Probe, full_mesh

EVERYTHING = """
from os_ken.base.app_manager import OSKenApp
from os_ken.controller import ofp_event
from os_ken.controller.handler import CONFIG_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from os_ken.ofproto import nicira_ext


class Everything(OSKenApp):
    @set_ev_cls(ofp_event.EventOFPSwitchFeatures, CONFIG_DISPATCHER)
    def there(self, event):
        dp, p, o = event.msg.datapath, event.msg.datapath.ofproto_parser, event.msg.datapath.ofproto
        actions = [
            p.OFPActionOutput(o.OFPP_CONTROLLER, o.OFPCML_NO_BUFFER),
            p.NXActionRegLoad(ofs_nbits=nicira_ext.ofs_nbits(0, 0), dst="reg15", value=1),
            p.NXActionResubmitTable(table_id=0),
        ]
        acting = [p.OFPInstructionActions(o.OFPIT_APPLY_ACTIONS, actions)]
        match = p.OFPMatch(reg15=(0, 1))
        dp.send_msg(p.OFPFlowMod(dp, priority=50000, cookie=dp.cookie, match=match, instructions=acting))

    @set_ev_cls(ofp_event.EventOFPPacketIn, MAIN_DISPATCHER)
    def copied(self, event):
        assert event.msg.data and event.msg.match["in_port"] in event.msg.datapath.ports
        with open(FILE, "a") as file:
            file.write("x")
"""


def test_all_frames_are_copied_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A frame each millisecond between all: none lost, none twice, and one more port is bound meanwhile."""
    count = tmp_path / "copies"
    (tmp_path / "everything_app.py").write_text(f"FILE = {str(count)!r}\n{EVERYTHING}")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with Lab() as lab:
        h1 = lab.add_host("h1")
        red = lab.add_network("red", "gre", 7)
        vms = [lab.add_vm(name, red, f"10.0.0.{number}/24") for number, name in enumerate("abc", 1)]
        lab.start_topology()
        lab.apply()
        options = {"DEFAULT": {"os_ken_apps": "everything_app"}, "ovs": {"of_request_timeout": 120}}
        lab.start_controllers(h1, options=options)
        controller = lab.controllers["h1"]
        for vm in vms[:2]:
            vm.plug(h1)
        lab.wait_wired()
        vms[0].wait_reaches(vms[1])
        with Probe(lab, full_mesh(vms[:2])) as probe:
            probe.wait_sent(1000)
            vms[2].plug(h1)
            controller.wait_device(vms[2].nic.device, status="ACTIVE")
            probe.wait_sent(2000)
            result = probe.stop()
        assert (result.lost, result.duplicated) == (0, 0), result.table()
        assert count.stat().st_size > 500
        (told,) = controller.wait_in_sync()["applications"]
        assert told["state"] == "running"
        assert told["flows"]["br-int"] == 1
        assert "connection of br-int" not in controller.log_text()
        print(f"{count.stat().st_size} copies handled of {result.expected} frames: {told['problems']}")
