"""Reads what ``ofproto/trace`` and ``dpif/show`` of ovs-vswitchd say, as values. Pure.

Of ovs-vswitchd(8), "Tracing": a line ``bridge("br-int")`` begins what one bridge does; a line with the number of a
table says which flow the frame meets there, and those below it, further indented, what the flow does and what comes of
it: an action as it stands, a remark behind ``->``, a warning behind ``>>``, an error between ``>>>>`` and ``<<<<``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

_BRIDGE = re.compile(r'( *)bridge\("([^"]+)"\)')
_TABLE = re.compile(r"( *\d+)\. (.*)")
_RULE = re.compile(r" *-+")
_MATCH = re.compile(r"(?:(?P<match>.*), )?priority (?P<priority>\d+)(?:, cookie (?P<cookie>0x[0-9a-fA-F]+))?")
_OUTCOME = re.compile(r"(Flow|Final flow|Megaflow|Datapath actions): (.*)")
_REMARK = re.compile(r"(?:->|>>>>|>>) ?(.*?)(?: ?<<<<)?")

_PORTS_OF = re.compile(r"  (\S+):")
_PORT = re.compile(r"    (\S+) (\d+)/(\d+|none): \(([\w-]+)[:)].*")


@dataclass(frozen=True)
class FlowLookup:
    """The flow that a frame meets in one table.

    :param match: as ovs-ofctl writes it; empty: everything
    :param priority: None: no flow matches, and the frame is dropped
    :param cookie: 0 where the trace has none
    :param actions: what the flow does, one text each
    :param remarks: what Open vSwitch says of it
    """

    bridge: str
    table: int
    match: str
    priority: int | None
    cookie: int
    actions: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def drops(self) -> bool:
        """Whether the frame ends here by what the flow says, or for want of one."""
        return self.actions == ("drop",) or self.priority is None


@dataclass(frozen=True)
class FrameTrace:
    """The way of one frame through the bridges of a host.

    :param frame: the frame as it came in, in ovs-ofctl's words
    :param lookups: in the order in which they happen
    :param outputs: the datapath's actions, one text for each pass through it
    """

    frame: str
    lookups: tuple[FlowLookup, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class SwitchPort:
    """A port of a bridge.

    :param number: by OpenFlow
    :param datapath_number: None: it has none of its own, as patches have
    :param kind: of its Interface, e.g. ``patch``, ``gre``, ``system``
    """

    bridge: str
    name: str
    number: int
    datapath_number: int | None
    kind: str


def read_trace(text: str) -> FrameTrace:
    """What a trace says.

    :param text: as ``ofproto/trace`` writes it
    """
    reader = _Reader()
    frame, outputs = "", []
    for line in text.splitlines():
        if found := _OUTCOME.fullmatch(line):
            if found[1] == "Datapath actions":
                outputs.append(found[2])
            elif found[1] == "Flow" and not frame:
                frame = found[2]
        else:
            reader.read(line)
    return FrameTrace(frame, tuple(reader.lookups), tuple(outputs))


class _Reader:
    """Puts lines to the flow that they are of, by how far they are indented.

    What comes of an action stands below it, four and more further to the right, but for what comes of the last one.
    """

    def __init__(self) -> None:
        self.lookups: list[FlowLookup] = []
        self._bridges: list[tuple[int, str]] = []
        self._open: list[tuple[int, int]] = []
        """Column of the dot of a lookup, and its place in the list."""

    def read(self, line: str) -> None:
        if found := _BRIDGE.fullmatch(line):
            self._bridges = [one for one in self._bridges if one[0] < len(found[1])] + [(len(found[1]), found[2])]
        elif (found := _TABLE.fullmatch(line)) and self._bridges:
            column = len(found[1])
            self._bridges = [one for one in self._bridges if one[0] <= column - 2] or self._bridges[:1]
            self._open = [one for one in self._open if one[0] < column] + [(column, len(self.lookups))]
            self.lookups.append(_lookup(self._bridges[-1][1], int(found[1]), found[2]))
        elif line.strip() and not _RULE.fullmatch(line):
            column = len(line) - len(line.lstrip())
            self._open = [one for one in self._open if one[0] + 2 <= column]
            if self._open:
                place = self._open[-1][1]
                self.lookups[place] = _with_line(self.lookups[place], line.strip())


def _lookup(bridge: str, table: int, text: str) -> FlowLookup:
    found = _MATCH.fullmatch(text)
    if found is None:
        return FlowLookup(bridge, table, "", None, 0, remarks=(text,))
    return FlowLookup(bridge, table, found["match"] or "", int(found["priority"]), int(found["cookie"] or "0", 16))


def _with_line(lookup: FlowLookup, line: str) -> FlowLookup:
    if found := _REMARK.fullmatch(line):
        return replace(lookup, remarks=(*lookup.remarks, found[1]))
    return replace(lookup, actions=(*lookup.actions, line))


def read_ports(text: str) -> Iterator[SwitchPort]:
    """All ports of all bridges.

    :param text: as ``dpif/show`` writes it
    """
    bridge = ""
    for line in text.splitlines():
        if found := _PORTS_OF.fullmatch(line):
            bridge = found[1]
        elif found := _PORT.fullmatch(line):
            number = None if found[3] == "none" else int(found[3])
            yield SwitchPort(bridge, found[1], int(found[2]), number, found[4])
