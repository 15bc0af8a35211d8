"""``tunbridge trace``: asks whom it can what becomes of a frame, on this host and behind it, and puts it together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace

from controller.config.config import Config
from controller.status.control_client import ControlError
from controller.status.explanation import TIMEOUT, HostAnswers, Json, ask
from controller.trace.conclusion import TraceConclusion, TracedCase, conclude, dropped, tunnel_problem
from controller.trace.host_path import HostPath, TunnelCopy
from controller.trace.other_hosts import FrameCopy, OtherHostError, absence, expected, run_there
from controller.trace.traced_frame import ArrivalPoint, FrameError, compose, device_of, find_port, mac_of
from controller.vswitch.control.vswitchd_client import VSwitchdClient
from controller.vswitch.row_dump import read_rows
from topology.errors import TunbridgeError
from topology.model import Network, Port, PortStatus

_NOTHING = ("carry nothing", "carries nothing", "does not reach it", "carries a frame")
"""How the status says that a tunnel is there and of no use."""

_UNKNOWN = Port("00000000-0000-4000-8000-000000000000", "00000000-0000-4000-8000-000000000000", "02:00:00:00:00:01")
"""In the place of a port that the topology does not have, and its device does."""


@dataclass(frozen=True)
class TraceRequest:
    """What is asked.

    :param source: a port by one of its names; None with ``arriving``
    :param target: likewise, or any MAC address; None: whom the frame is for
    :param words: of the frame, as ovs-ofctl writes them
    :param arriving: see :class:`controller.trace.traced_frame.ArrivalPoint`
    :param size: bytes of the packet in the frame; None: small
    :param via: see :func:`controller.trace.other_hosts.run_there`; None: other hosts are not asked
    """

    source: str | None
    target: str | None = None
    words: str | None = None
    arriving: str | None = None
    size: int | None = None
    via: str | None = None

    @property
    def arguments(self) -> list[str]:
        """The same for another host, which asks nobody else."""
        named = {"--frame": self.words, "--size": self.size, "--arriving": self.arriving}
        options = [word for name, value in named.items() if value is not None for word in (name, str(value))]
        return [*(one for one in (self.source, self.target) if one is not None), *options]


def trace_frame(config: Config, request: TraceRequest, known: HostAnswers | None = None) -> Json:
    """What ``tunbridge trace --json`` prints.

    :param known: what the topology and the controller have answered; None: they are asked
    :raises NotFoundError: no port is called so, or several are, or nothing makes a frame of what was given
    :raises ControlError: the controller of this host does not answer
    :raises VSwitchError: nor does Open vSwitch, or it refuses the frame
    """
    known = known or ask(config)
    if known.status is None:
        raise ControlError(known.silent[0])
    case = case_of(request, known)
    if case.point is None and case.device is None:
        return elsewhere(request, case)
    if case.device is not None and case.device["ofport"] is None:
        return told(case)
    with VSwitchdClient(config.ovs.ovsdb_connection) as client:
        path = HostPath(config, known, client)
        way = path.from_outside(case.point) if case.point is not None else path.from_device(_ofport(case))
        hops, leaving = path.trace(*way, case.frame)
    case = replace(case, hops=hops, begin=f"{way[0]} {','.join((way[1], *case.frame.words))}")
    behind = Behind(case, request.via, _sizes(config) if case.frame.size is not None else {})
    copies = [copy for one in leaving for copy in behind.arrivals(one)]
    return told(replace(case, copies=copies), behind.hops)


def _ofport(case: TracedCase) -> int:
    return int(case.device["ofport"]) if case.device is not None else 0


def case_of(request: TraceRequest, known: HostAnswers) -> TracedCase:
    """Who and what is meant."""
    host = (known.status or {}).get("host", "")
    if request.arriving is not None:
        if request.target is not None:
            raise FrameError("with --arriving there is no FROM: the frame comes from another host")
        point = ArrivalPoint.read(request.arriving)
        network = point.network(known.networks.values())
        target, destination = _target(request.source, network, known)
        frame = compose(request.words, None, target, destination, request.size)
        target = target or _having(frame.destination, network, known)
        return TracedCase(known, host, frame, point=point, target=target, network=network)
    if request.source is None:
        raise FrameError("FROM is needed: a port, or --arriving")
    found = find_port(request.source, known)
    source = known.ports.get(found.id)
    network = known.networks.get(source.network_id) if source is not None else None
    target, destination = _target(request.target, network, known)
    frame = compose(request.words, source or _UNKNOWN, target, destination, request.size)
    target = target or _having(frame.destination, network, known)
    device = device_of(found.id, request.source, known)
    return TracedCase(known, host, frame, found.id, device, source=source, target=target, network=network)


def _target(name: str | None, network: Network | None, known: HostAnswers) -> tuple[Port | None, str | None]:
    """The port that is meant, or else the MAC address."""
    mac = mac_of(name) if name is not None else None
    if name is None or (mac is not None and int(mac[:2], 16) & 1):
        return None, mac
    try:
        found = find_port(name, known, network.id if network is not None else None)
    except FrameError:
        if mac is None:
            raise
        return None, mac
    port = known.ports.get(found.id)
    if port is None:
        raise FrameError(f"the topology has no port {found.id}, so its MAC address is not known: give that as TO")
    return port, None


def _having(mac: str, network: Network | None, known: HostAnswers) -> Port | None:
    """The port of a network that has an address, its own or one of allowed_address_pairs that no other has."""
    ports = [port for port in known.ports.values() if network is not None and port.network_id == network.id]
    own = [port for port in ports if port.mac_address == mac]
    allowed = [port for port in ports if mac in port.allowed_macs]
    return own[0] if own else allowed[0] if len(allowed) == 1 else None


def elsewhere(request: TraceRequest, case: TracedCase, live: int | None = None) -> Json:
    """Of a frame that a port sends which has no device here.

    :param live: see ``--live``: for so many seconds
    """
    source = case.source
    host = (source.host or source.requested_host) if source is not None else None
    if source is None or host is None or host == case.host:
        found = absence(source, case.known) if source is not None else None
        reason, changes = found or ("it has no device on this host", "plug it in")
        return told(case, conclusion=dropped(f"port {case.source_id}, which sends it,", reason, changes))
    if request.via is None:
        raise TunbridgeError(
            f"port {source.id} is on host {host}: run tunbridge trace there, or say how a command is run on it with "
            "--via, e.g. --via 'ssh {host}'"
        )
    if live is None:
        return run_there(request.via, host, request.arguments)
    return run_there(request.via, host, [*request.arguments, "--live", "--seconds", str(live)], more=live)


def _sizes(config: Config) -> dict[str, int]:
    """Network device → MTU, of those that Open vSwitch knows, and of those that packets of tunnels leave by."""
    from controller.agent.tunnels.underlay import mtu  # which loads the hub

    rows = read_rows(config.ovs.ovsdb_connection, ("Interface",), config.ovs.tls, TIMEOUT)["Interface"]
    known = {row["name"]: row["mtu"] for row in rows if row.get("mtu") is not None}
    for row in rows:
        egress = (row.get("status") or {}).get("tunnel_egress_iface")
        size = known.get(egress) or (mtu(egress, config.ovs.integration_bridge) if egress else None)
        if size is not None:
            known[row["name"]] = size
    return known


class Behind:
    """What becomes of copies that leave this host.

    :param via: see :class:`TraceRequest`
    :param sizes: port → bytes of the largest packet that it carries
    """

    def __init__(self, case: TracedCase, via: str | None, sizes: Mapping[str, int]) -> None:
        self.hops: list[Json] = []
        """Flows that the frame meets on other hosts."""
        self._case = case
        self._via = via
        self._sizes = sizes

    def arrivals(self, leaving: FrameCopy | TunnelCopy) -> Iterator[FrameCopy]:
        """All copies that come of one."""
        if isinstance(leaving, FrameCopy):
            yield self._fitting(leaving, leaving.device or "", 0)
            return
        copy = self._fitting(leaving.copy, leaving.device, leaving.bytes)
        if leaving.host is None:
            yield copy
        if copy.reason is None:
            for host in self.hosts(leaving):
                yield from self._there(host, leaving)
        elif leaving.host is not None:
            yield copy

    def _fitting(self, copy: FrameCopy, device: str, more: int) -> FrameCopy:
        """The copy, or that it is too large."""
        size, limit = self._case.frame.size, self._sizes.get(device)
        if size is None or limit is None or size + more <= limit:
            return copy
        reason = f"it is a packet of {size + more} bytes there, and {device} carries {limit}"
        changes = "a smaller packet, a larger MTU of the device by which it leaves, or a smaller mtu of the network"
        return replace(copy, reason=reason, remedy=changes)

    def hosts(self, leaving: TunnelCopy) -> list[str]:
        """Other hosts that get it, as far as they matter."""
        case, target = self._case, self._case.target
        if leaving.host is not None:
            return [leaving.host]
        if target is not None:
            names = {target.host or target.requested_host}
        else:
            ports = [port for port in case.known.ports.values() if case.network and port.network_id == case.network.id]
            names = {port.host for port in ports if port.status is PortStatus.ACTIVE and case.frame.is_multicast}
        return sorted(name for name in names if name is not None and name != case.host and name in case.known.hosts)

    def _there(self, name: str, leaving: TunnelCopy) -> Iterator[FrameCopy]:
        case, host = self._case, self._case.known.hosts[name]
        by = leaving.copy.by
        found = tunnel_problem(name, case.known) if leaving.point.kind else None
        if found is not None and any(words in found[0] for words in _NOTHING):
            yield replace(leaving.copy, reason=found[0].removeprefix(f"host {name}: "), remedy=found[1])
            return
        if self._via is not None and host.instance:
            try:
                yield from self._asked(name, leaving.point, by)
                return
            except OtherHostError as error:
                case.known.silent.append(str(error))
        network = leaving.point.network(case.known.networks.values()) or case.network
        if network is None:
            yield leaving.copy
            return
        for copy in expected(host, leaving.point, network, case.frame, case.known):
            yield replace(copy, by=f"{by} {copy.by}".strip())

    def _asked(self, name: str, point: ArrivalPoint, by: str) -> Iterator[FrameCopy]:
        frame, target = self._case.frame, self._case.target
        words = ",".join(word for word in frame.words if not word.startswith("dl_vlan"))
        size = ["--size", str(frame.size)] if frame.size is not None else []
        to = [target.id] if target is not None and not frame.is_multicast else []
        answer = run_there(self._via or "", name, [*to, "--arriving", str(point), "--frame", words, *size])
        yield from self._answered(name, answer, by)

    def _answered(self, name: str, answer: Json, by: str) -> Iterator[FrameCopy]:
        try:
            copies = [FrameCopy(**{key: copy[key] for key in _COPY}) for copy in answer["copies"]]
            end = FrameCopy("host", name, answer["place"], by=by, reason=answer["reason"], remedy=answer["remedy"])
            self.hops += answer["hops"]
        except (KeyError, TypeError):
            raise OtherHostError(f"host {name} cannot be asked: it answers something else") from None
        for copy in copies:
            yield replace(copy, by=f"{by}, {copy.by}" if copy.by else by)
        if not any(copy.delivered for copy in copies):
            yield end


_COPY = ("kind", "host", "device", "port", "by", "reason", "remedy")


def told(case: TracedCase, further: list[Json] | None = None, conclusion: TraceConclusion | None = None) -> Json:
    """What was found, as JSON.

    :param further: hops on other hosts
    """
    said = conclusion or conclude(case)
    target = case.target
    return {
        "from": {
            "host": case.host,
            "port": case.source_id,
            "device": case.device["device"] if case.device is not None else None,
            "arriving": str(case.point) if case.point is not None else None,
        },
        "to": {"port": target.id if target is not None else None, "mac_address": case.frame.destination},
        "frame": case.begin,
        "hops": [*(hop.told(case.host) for hop in case.hops), *(further or [])],
        "copies": [{**asdict(copy), "place": copy.place, "delivered": copy.delivered} for copy in case.copies],
        "delivered": said.delivered,
        "place": said.place,
        "reason": said.reason,
        "remedy": said.remedy,
        "sentence": said.sentence,
        "silent": list(case.known.silent),
    }
