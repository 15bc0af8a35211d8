"""An os-ken application: collects the counters of flows and ports, and counts ARP frames by a flow of its own.

Named in ``[DEFAULT] os_ken_apps = flow_statistics``, it asks every bridge every few seconds, and writes what it has got
to a file, one line of JSON each time. Its own flow is met by ARP frames first: it counts them, sets a mark of its own
in register 15 and begins anew, so that the frame then meets the pipeline as if there were no such flow.
"""

from __future__ import annotations

import json
import os
import time
from typing import Any

from os_ken.base.app_manager import OSKenApp
from os_ken.controller import ofp_event
from os_ken.controller.handler import CONFIG_DISPATCHER, DEAD_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from os_ken.lib import hub
from os_ken.ofproto import nicira_ext, ofproto_v1_3

INTERVAL = float(os.environ.get("FLOW_STATISTICS_INTERVAL", "10"))
"""Seconds between two questions."""

FILE = os.environ.get("FLOW_STATISTICS_FILE", "/tmp/flow-statistics.json")

PRIORITY = 50000
"""Of the priorities of table 0 that are for applications of others."""

ARP = 0x0806


class FlowStatistics(OSKenApp):  # type: ignore[misc]
    """The application."""

    OFP_VERSIONS = (ofproto_v1_3.OFP_VERSION,)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.datapaths: dict[int, Any] = {}

    def start(self) -> None:
        """Ask from now on."""
        super().start()
        self.threads.append(hub.spawn(self.ask))

    def ask(self) -> None:
        """Ask every bridge, again and again; the answers are events."""
        while self.is_active:
            for datapath in list(self.datapaths.values()):
                parser = datapath.ofproto_parser
                datapath.send_msg(parser.OFPFlowStatsRequest(datapath))
                datapath.send_msg(parser.OFPPortStatsRequest(datapath))
            hub.sleep(INTERVAL)

    @set_ev_cls(ofp_event.EventOFPSwitchFeatures, CONFIG_DISPATCHER)
    def features(self, event: Any) -> None:
        """A bridge is there: its ARP frames are to be counted."""
        datapath = event.msg.datapath
        if datapath.name != "br-int":
            return
        parser = datapath.ofproto_parser
        actions = [
            parser.NXActionRegLoad(ofs_nbits=nicira_ext.ofs_nbits(0, 0), dst="reg15", value=1),
            parser.NXActionResubmitTable(table_id=0),
        ]
        datapath.send_msg(
            parser.OFPFlowMod(
                datapath,
                cookie=datapath.cookie | ARP,
                table_id=0,
                priority=PRIORITY,
                match=parser.OFPMatch(eth_type=ARP, reg15=(0, 1)),
                instructions=[parser.OFPInstructionActions(datapath.ofproto.OFPIT_APPLY_ACTIONS, actions)],
            )
        )

    @set_ev_cls(ofp_event.EventOFPStateChange, [MAIN_DISPATCHER, DEAD_DISPATCHER])
    def state_changed(self, event: Any) -> None:
        """A bridge of ours has come, or its connection is over."""
        if event.state == MAIN_DISPATCHER:
            self.datapaths[event.datapath.id] = event.datapath
        else:
            self.datapaths.pop(event.datapath.id, None)

    @set_ev_cls(ofp_event.EventOFPFlowStatsReply, MAIN_DISPATCHER)
    def flows_told(self, event: Any) -> None:
        """A bridge has told the counters of its flows, or of a part of them."""
        flows = event.msg.body
        own = [flow for flow in flows if flow.cookie == event.msg.datapath.cookie | ARP]
        self.write(
            event.msg.datapath.name,
            flows=len(flows),
            packets=sum(flow.packet_count for flow in flows),
            arp=sum(flow.packet_count for flow in own) if own else None,
        )

    @set_ev_cls(ofp_event.EventOFPPortStatsReply, MAIN_DISPATCHER)
    def ports_told(self, event: Any) -> None:
        """A bridge has told the counters of its ports."""
        ports = event.msg.datapath.ports
        names = {number: port.name.decode() for number, port in ports.items()}
        counters = {names.get(one.port_no, str(one.port_no)): one.rx_packets for one in event.msg.body}
        self.write(event.msg.datapath.name, ports=counters)

    def write(self, bridge: str, **values: Any) -> None:
        """Append a line."""
        with open(FILE, "a", encoding="utf-8") as file:
            file.write(json.dumps({"time": time.time(), "bridge": bridge, **values}) + "\n")
