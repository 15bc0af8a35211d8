"""Watches real frames for some seconds: ``tunbridge trace --live`` asks for it.

For each place a flow of its own is put before all others. It counts the frames that match, sends the first few of them
to the controller too, sets a bit of register 14, and begins anew, where the bit keeps a frame from meeting it again: so
every frame goes on to the pipeline as if nobody watched. When enough copies have come, the flow is changed to one that
only counts.

The switch removes the flows itself when their time is over, whoever has died meanwhile; as long as all live, they are
removed before that.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import netaddr
from os_ken.lib import hub
from os_ken.ofproto import nicira_ext
from os_ken.ofproto import ofproto_v1_3 as ofp
from os_ken.ofproto import ofproto_v1_3_parser as parser

from apps.framework.cookie import OTHERS_MASK, others_cookie
from apps.framework.pipeline import WATCH_PRIORITIES
from controller.openflow.channel.os_ken_events import OpenFlowEvents, SwitchMessage
from controller.openflow.channel.session import Session
from controller.openflow.tables.sender import Sender
from controller.openflow.wire.app_messages import cookie_of
from controller.openflow.wire.messages import OpenFlow13, encoded, parsed
from topology.errors import OpenFlowError, TunbridgeError

LOG = logging.getLogger(__name__)

COOKIE = others_cookie("tunbridge trace --live")

SECONDS_MAX = 3600
PLACES_MAX = 8
"""Of one who watches."""

_SAMPLES = 8
"""Copies that a place has sent to the controller; some more may be on their way then."""

_GRACE = 2
"""Seconds after which the switch removes a flow that nobody has removed."""

_FIELDS = {"in_port", "dl_src", "dl_dst", "dl_vlan", "tun_id", "tun_src", "tun_ipv6_src"}
"""What frames may be told by, as ovs-ofctl calls it."""

Json = dict[str, Any]


@dataclass
class _Place:
    """One flow, and what has come by it."""

    session: Session
    match: Any
    slot: int
    cookie: int
    samples: list[bytes] = field(default_factory=list)
    is_counting: bool = False


class FrameWatch:
    """Of one host.

    :param senders: bridge → who writes its flows, and knows its connection
    """

    def __init__(self, events: OpenFlowEvents, senders: Mapping[str, Sender]) -> None:
        self._senders = senders
        self._places: dict[int, _Place] = {}
        self._free = list(range(len(WATCH_PRIORITIES)))
        self._number = 0
        events.watch = self._seen

    @staticmethod
    def has_flow(table: int, priority: int, cookie: int) -> bool:
        """Whether a flow is one of those that watch."""
        return table == 0 and priority in WATCH_PRIORITIES and cookie & OTHERS_MASK == COOKIE

    def answer(self, parameters: Mapping[str, Any]) -> Json:
        """What the control socket answers to ``watch``, when the time is over.

        :param parameters: ``seconds``; ``places``: objects of ``bridge`` and the fields of frames, e.g.
            ``{"bridge": "br-int", "in_port": 5, "dl_dst": "fa:16:3e:02:dd:79"}``, of which no two match one frame
        :returns: ``places``: ``packets``, and ``samples`` (whole frames, in hexadecimal) of each, in their order
        :raises TunbridgeError: a parameter cannot be used, too many watch, or a bridge is not connected, or no more
        """
        seconds, asked = _checked(parameters)
        if not self._free:
            raise TunbridgeError(f"{len(WATCH_PRIORITIES)} watch frames on this host already: try again later")
        slot = self._free.pop()
        places: list[_Place] = []
        try:
            for one in asked:
                places.append(self._begin(one, slot, seconds))
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline:
                if not all(place.session.is_active for place in places):
                    raise TunbridgeError("a bridge has closed its connection: frames were not watched to the end")
                hub.sleep(min(0.1, max(0.0, deadline - time.monotonic())))
            counted = [self._packets(place) for place in places]
        except OpenFlowError as error:
            raise TunbridgeError(f"frames were not watched to the end: {error}") from None
        finally:
            for place in places:
                self._end(place)
            self._free.append(slot)
        found = [
            {"packets": number, "samples": [sample.hex() for sample in place.samples]}
            for number, place in zip(counted, places, strict=True)
        ]
        return {"places": found}

    def _begin(self, one: Mapping[str, Any], slot: int, seconds: int) -> _Place:
        sender = self._senders.get(str(one["bridge"]))
        session = sender.session if sender is not None else None
        if session is None:
            raise TunbridgeError(f"bridge {one['bridge']} is not connected")
        self._number += 1
        place = _Place(session, _match(one, slot), slot, COOKIE | self._number & 0xFFFF_FFFF)
        self._places[place.cookie] = place
        try:
            self._send(place, ofp.OFPFC_ADD, seconds=seconds + _GRACE)
        except OpenFlowError:
            self._places.pop(place.cookie)
            raise
        return place

    def _send(self, place: _Place, command: int, *, seconds: int = 0) -> None:
        flow = parser.OFPFlowMod(
            OpenFlow13,
            cookie=place.cookie,
            cookie_mask=0 if command == ofp.OFPFC_ADD else (1 << 64) - 1,
            command=command,
            hard_timeout=seconds,
            priority=WATCH_PRIORITIES[place.slot],
            out_port=ofp.OFPP_ANY,
            out_group=ofp.OFPG_ANY,
            match=place.match,
            instructions=_instructions(place),
        )
        outcome = place.session.commit([lambda xid: encoded(flow, xid)])
        if not outcome.applied or outcome.refused:
            raise OpenFlowError(f"the switch refuses to watch: {', '.join(outcome.refused.values())}")

    def _packets(self, place: _Place) -> int:
        flows = place.session.flows(place.cookie, (1 << 64) - 1)
        return sum(flow.n_packets for flow in flows)

    def _end(self, place: _Place) -> None:
        self._places.pop(place.cookie, None)
        try:
            self._send(place, ofp.OFPFC_DELETE_STRICT)
        except OpenFlowError as error:  # the switch does it
            LOG.info("a flow that watches frames goes by itself: %s", error)

    def _seen(self, message: SwitchMessage) -> bool:
        """A copy has come; called in the session's thread, must only enqueue.

        :returns: whether it is of a flow that watches
        """
        cookie = cookie_of(message.message)
        if cookie is None or cookie & OTHERS_MASK != COOKIE:
            return False
        place = self._places.get(cookie)
        if place is not None and len(place.samples) < _SAMPLES:
            place.samples.append(bytes(parsed(message.message).data))
            if len(place.samples) == _SAMPLES:
                hub.spawn(self._count_only, place)
        return True

    def _count_only(self, place: _Place) -> None:
        place.is_counting = True
        try:
            self._send(place, ofp.OFPFC_MODIFY_STRICT)
        except OpenFlowError as error:
            LOG.info("a flow that watches frames goes on to send copies: %s", error)


def _checked(parameters: Mapping[str, Any]) -> tuple[int, list[Mapping[str, Any]]]:
    seconds, places = parameters.get("seconds"), parameters.get("places")
    if not isinstance(seconds, int) or not 1 <= seconds <= SECONDS_MAX:
        raise TunbridgeError(f"watch: seconds: expected a whole number from 1 to {SECONDS_MAX}")
    if not isinstance(places, list) or not 1 <= len(places) <= PLACES_MAX:
        raise TunbridgeError(f"watch: places: expected 1 to {PLACES_MAX}")
    for one in places:
        if not isinstance(one, dict) or "bridge" not in one or one.keys() - _FIELDS - {"bridge"}:
            raise TunbridgeError(f"watch: a place has a bridge, and some of {', '.join(sorted(_FIELDS))}")
    return seconds, places


def _match(one: Mapping[str, Any], slot: int) -> Any:
    """The frames of a place that its flow has not seen yet."""
    terms: dict[str, Any] = {"reg14": (0, 1 << slot)}
    try:
        for name, key, read in (
            ("in_port", "in_port", int),
            ("dl_src", "eth_src", lambda text: str(netaddr.EUI(text, dialect=netaddr.mac_unix_expanded))),
            ("dl_dst", "eth_dst", lambda text: str(netaddr.EUI(text, dialect=netaddr.mac_unix_expanded))),
            ("dl_vlan", "vlan_vid", lambda number: int(number) | ofp.OFPVID_PRESENT),
            ("tun_id", "tunnel_id", int),
            ("tun_src", "tun_ipv4_src", lambda text: str(netaddr.IPAddress(text))),
            ("tun_ipv6_src", "tun_ipv6_src", lambda text: str(netaddr.IPAddress(text))),
        ):
            if name in one:
                terms[key] = read(one[name])
        return parser.OFPMatch(**terms)
    except (ValueError, TypeError, netaddr.AddrFormatError) as error:
        raise TunbridgeError(f"watch: {error}") from None


def _instructions(place: _Place) -> list[Any]:
    actions = [
        parser.NXActionRegLoad(ofs_nbits=nicira_ext.ofs_nbits(place.slot, place.slot), dst="reg14", value=1),
        parser.NXActionResubmitTable(table_id=0),
    ]
    if not place.is_counting:
        actions.insert(0, parser.OFPActionOutput(ofp.OFPP_CONTROLLER, ofp.OFPCML_NO_BUFFER))
    return [parser.OFPInstructionActions(ofp.OFPIT_APPLY_ACTIONS, actions)]
