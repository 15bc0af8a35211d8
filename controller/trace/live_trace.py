"""``tunbridge trace --live``: what becomes of real frames that come within some seconds.

They are counted where their device sends them, or where they arrive from another host, and where they leave for other
hosts; copies of the first few are then traced as they were, byte for byte. Other hosts watch at the same time, where
they can be asked: what has left and has not arrived was lost between them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from controller.config.config import Config
from controller.status.control_client import ControlError, call
from controller.status.explanation import HostAnswers, Json, ask
from controller.trace.conclusion import TracedCase, conclude, dropped
from controller.trace.frame_trace import Behind, TraceRequest, case_of, elsewhere, told
from controller.trace.host_path import HostPath, TunnelCopy
from controller.trace.other_hosts import FrameCopy, OtherHostError, run_there
from controller.trace.traced_frame import FrameError, TracedFrame, frame_of
from controller.vswitch.control.vswitchd_client import VSwitchdClient

_ANSWER = 15.0
"""Seconds for all but the watching."""

_TRACED = 4
"""Frames that are traced of those that differ."""

_MATCHED = {"dl_src", "eth_src", "dl_dst", "eth_dst"}
"""What ``--frame`` may say: a real frame has the rest."""


def trace_live(config: Config, request: TraceRequest, seconds: int, known: HostAnswers | None = None) -> Json:
    """What ``tunbridge trace --live --json`` prints, after these seconds.

    :param known: as of :func:`controller.trace.frame_trace.trace_frame`
    :raises NotFoundError: no port is called so, or several are
    :raises ControlError: the controller of this host does not answer, or cannot watch
    :raises VSwitchError: Open vSwitch does not answer
    """
    known = known or ask(config)
    if known.status is None:
        raise ControlError(known.silent[0])
    _check(request)
    case = case_of(request, known)
    if case.point is None and case.device is None:
        return elsewhere(request, case, live=seconds)
    if case.device is not None and case.device["ofport"] is None:
        return told(case)
    with VSwitchdClient(config.ovs.ovsdb_connection) as client:
        path = HostPath(config, known, client)
        way = path.from_outside(case.point) if case.point is not None else path.from_device(_ofport(case))
        _, leaving = path.trace(*way, case.frame)
        ways = [one for one in leaving if isinstance(one, TunnelCopy)]
    places = [{"bridge": way[0], **_fields(way[1]), **_addresses(request, case)}]
    if case.point is None and any(one.point.kind for one in ways) and (left := path.into_tunnels()) is not None:
        pair = {"dl_src": case.frame.source, "dl_dst": case.frame.destination}
        places.append({"bridge": left[0], **_fields(left[1]), **pair})
    others = _Others(case, request.via, ways, seconds)
    watched = call(config.control_socket, "watch", seconds + _ANSWER, seconds=seconds, places=places)["places"]
    answers = others.answers()
    counted = [{"host": case.host, "place": _words(case, place), "frames": one["packets"]}
               for place, one in zip(places, watched, strict=True)]  # fmt: skip
    counted += [one for answer in answers.values() for one in answer.get("live", {}).get("frames", [])]
    with VSwitchdClient(config.ovs.ovsdb_connection) as client:
        path = HostPath(config, known, client)
        found = [
            _of_sample(path, way, replace(case, frame=frame), answers, watched[0]["packets"])
            for frame in _samples(watched[0]["samples"])
        ]
    ends = sorted(found, key=lambda one: one["delivered"])  # what is dropped is what is looked for
    answer = ends[0] if ends else told(case, conclusion=_nothing_came(case, watched[0]["packets"], seconds))
    return {**answer, "live": {"seconds": seconds, "frames": counted}}


def _check(request: TraceRequest) -> None:
    said = {word.partition("=")[0] for word in (request.words or "").replace(",", " ").split()}
    if said - _MATCHED or request.size is not None:
        what = "--size" if request.size is not None else ", ".join(sorted(said - _MATCHED))
        raise FrameError(f"--live: {what}: real frames are as they are; --frame may have dl_src and dl_dst")


def _ofport(case: TracedCase) -> int:
    return int(case.device["ofport"]) if case.device is not None else 0


def _fields(words: str) -> dict[str, Any]:
    """Where a frame comes in, as the controller takes it."""
    pairs = (word.partition("=")[::2] for word in words.split(","))
    texts = ("tun_src", "tun_ipv6_src")
    return {key: value if key in texts else int(value, 0) for key, value in pairs if not key.endswith("dst")}


def _addresses(request: TraceRequest, case: TracedCase) -> dict[str, str]:
    """Frames that a device sends are watched whatever address they come from, unless ``--frame`` says it."""
    said = request.words or ""
    found = {"dl_dst": case.frame.destination}
    if case.point is not None or "_src=" in said:
        found["dl_src"] = case.frame.source
    return found


def _words(case: TracedCase, place: Mapping[str, Any]) -> str:
    if case.point is not None:
        return f"{place['bridge']}, arriving ({case.point})"
    device = case.device["device"] if case.device is not None and place["in_port"] == _ofport(case) else None
    return f"{place['bridge']}, from device {device}" if device else f"{place['bridge']}, to other hosts"


def _nothing_came(case: TracedCase, packets: int, seconds: int) -> Any:
    if case.point is not None:
        place = f"host {case.host}"
        reason = f"no frame to {case.frame.destination} has arrived there ({case.point}) within {seconds} s"
        changes = "have it sent meanwhile; or see what is between the hosts: route, MTU, packet filters"
        return dropped(place, reason, changes)
    device = case.device["device"] if case.device is not None else ""
    place = f"device {device} on host {case.host}, which sends it,"
    if packets:
        return dropped(place, f"of {packets} frames no copy has come to the controller", "try again")
    reason = f"no frame to {case.frame.destination} came from it within {seconds} s"
    changes = "have it send meanwhile; another destination (a router's MAC address, where that is in between)"
    return dropped(place, reason, changes)


def _samples(samples: Sequence[str]) -> list[TracedFrame]:
    """Frames that differ in more than their payload."""
    found = {frame.words: frame for frame in map(frame_of, samples)}
    return list(found.values())[:_TRACED]


def _of_sample(
    path: HostPath, way: tuple[str, str], case: TracedCase, answers: Mapping[str, Json], packets: int
) -> Json:
    hops, leaving = path.trace(*way, case.frame)
    case = replace(case, hops=hops, begin=f"{way[0]} {','.join((way[1], *case.frame.words))}")
    behind = _LiveBehind(case, answers, packets)
    case = replace(case, copies=[copy for one in leaving for copy in behind.arrivals(one)])
    return told(case, behind.hops, conclude(case))


class _LiveBehind(Behind):
    """What becomes of copies that leave, by what other hosts have seen of them.

    :param answers: host → what it has answered
    :param packets: frames that were sent
    """

    def __init__(self, case: TracedCase, answers: Mapping[str, Json], packets: int) -> None:
        super().__init__(case, None, {})
        self._answers = answers
        self._packets = packets

    def _there(self, name: str, leaving: TunnelCopy) -> Iterator[FrameCopy]:
        answer = self._answers.get(name)
        if answer is None:
            yield from super()._there(name, leaving)
            return
        if any(one["frames"] for one in answer.get("live", {}).get("frames", [])):
            yield from self._answered(name, answer, leaving.copy.by)
            return
        reason = f"of {self._packets} frames that were sent there none has arrived"
        changes = "what is between the hosts: route, MTU, packet filters, the other end of the tunnel"
        yield replace(leaving.copy, reason=reason, remedy=changes)


class _Others:
    """Other hosts that watch at the same time.

    :param ways: by which copies leave
    """

    def __init__(self, case: TracedCase, via: str | None, ways: Sequence[TunnelCopy], seconds: int) -> None:
        self._known = case.known
        self._asked: dict[str, Future[Json]] = {}
        if via is None:
            return
        self._threads = ThreadPoolExecutor(8)
        words = f"dl_src={case.frame.source},dl_dst={case.frame.destination}"
        target = [case.target.id] if case.target is not None and not case.frame.is_multicast else []
        live = ["--frame", words, "--live", "--seconds", str(seconds)]
        behind = Behind(case, via, {})
        for host, point in ((host, one.point) for one in ways for host in behind.hosts(one)):
            if self._known.hosts[host].instance and host not in self._asked:
                arguments = [*target, "--arriving", str(point), *live]
                self._asked[host] = self._threads.submit(run_there, via, host, arguments, more=seconds)

    def answers(self) -> dict[str, Json]:
        """Host → what it says; who says nothing is noted."""
        found = {}
        for host, asked in self._asked.items():
            try:
                found[host] = asked.result()
            except OtherHostError as error:
                self._known.silent.append(str(error))
        return found
