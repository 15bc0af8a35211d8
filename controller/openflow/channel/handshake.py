"""What a peer tells of itself before it is let in: its versions, its datapath id, its serial number.

Nothing here decides who is let in. As long as nobody is, the serial number is asked for again and again, since a bridge
may just have got the one that it is to show.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from os_ken.ofproto import ofproto_v1_3 as ofp
from os_ken.ofproto import ofproto_v1_3_parser as parser

from controller.openflow.wire import messages
from topology.errors import OpenFlowError

_ASK_AFTER = 0.1
"""Seconds after which the serial number is asked for again; each time twice as long."""

_FIRST_FRAGMENTS_HAVE_PORTS = ofp.OFPC_FRAG_DROP | ofp.OFPC_FRAG_REASM
"""OFPC_FRAG_NX_MATCH of Open vSwitch: flows that match on ports see those of a first fragment. As it is by default they
see port 0 in all fragments, and no rule for a port could let one pass."""

_MISS_SEND_LEN = 128
"""As a switch has it by default (§7.3.2): with 0, Open vSwitch tells a service controller nothing that it did not ask
for, not even OFPT_PORT_STATUS."""


class Handshake:
    """From HELLO to the serial number.

    :param timeout: seconds that there are for it
    :param send: has a message of os-ken's sent, with a transaction id that it gives to it
    """

    def __init__(self, timeout: float, send: Callable[[Any], object]) -> None:
        self.greeted = False
        """HELLO has come."""
        self.datapath_id: int | None = None
        self.switch_features: Any = None
        """OFPSwitchFeatures that has told the datapath id."""
        self.serial: str | None = None
        """What the switch calls its serial number; the last that it told."""
        self.doubt: str | None = None
        """Why the peer is not let in although all of this is known, in words for the log."""
        self.due = math.inf
        """When :meth:`check_time` has something to do, as time.monotonic()."""
        self._send = send
        self._timeout = timeout
        self._desc_xid: int | None = None
        self._ask_after = _ASK_AFTER

    def hello(self, message: bytes) -> None:
        """OFPT_HELLO has come.

        :raises OpenFlowError: not for the first time, or from a peer that does not speak OpenFlow 1.3
        """
        if self.greeted:
            raise OpenFlowError("a second HELLO came")
        versions = messages.hello_versions(message)
        if ofp.OFP_VERSION not in versions:
            named = ", ".join(f"{version:#04x}" for version in sorted(versions)) or "none"
            raise OpenFlowError(f"the peer does not speak OpenFlow 1.3 (0x04), only {named}")
        self.greeted = True
        self._send(parser.OFPFeaturesRequest(messages.OpenFlow13))
        self._send(parser.OFPSetConfig(messages.OpenFlow13, _FIRST_FRAGMENTS_HAVE_PORTS, _MISS_SEND_LEN))

    def features(self, features: Any) -> bool:
        """OFPT_FEATURES_REPLY has come.

        :param features: OFPSwitchFeatures
        :returns: whether it tells the datapath id; the first one counts
        :raises OpenFlowError: of an auxiliary connection
        """
        if features.auxiliary_id:
            raise OpenFlowError(f"auxiliary connection {features.auxiliary_id} is not served")
        if self.datapath_id is not None:
            return False
        self.datapath_id = features.datapath_id
        self.switch_features = features
        self._ask()
        return True

    def described(self, reply: Any) -> bool:
        """An OFPMP_DESC reply has come.

        :param reply: OFPDescStatsReply
        :returns: whether it tells the serial number that was asked for
        """
        if reply.xid != self._desc_xid:
            return False
        self._desc_xid = None
        self.due = time.monotonic() + self._ask_after
        self._ask_after *= 2
        self.serial = messages.text(reply.body.serial_num)
        return True

    def check_time(self) -> None:
        """Ask again who the peer is, when it is time to."""
        if time.monotonic() >= self.due:
            self._ask()

    def _ask(self) -> None:
        self.due = math.inf
        request = parser.OFPDescStatsRequest(messages.OpenFlow13)
        self._send(request)
        self._desc_xid = request.xid

    def failure(self) -> str:
        """Why the peer was not let in, when the time for it is over."""
        seconds = f"within {self._timeout:g} s ([ovs] of_connect_timeout)"
        if not self.greeted:
            return f"no OpenFlow HELLO {seconds}"
        if self.datapath_id is None:
            return f"no features reply {seconds}"
        if self.serial is None:
            return f"no description {seconds}"
        return self.doubt or f"datapath id {self.datapath_id:016x} is not of a bridge that this controller manages"
