"""docs/troubleshooting.md: its commands, and what they print there, on the reference host."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import pytest

from tests.support import reference
from tests.support.host.ovs import OvsHost
from tests.support.host.tunbridge import ROOT, Tunbridge
from tests.support.waiting import wait_until

pytestmark = pytest.mark.one_hub

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
_INDENTED = r"(?:^    .*\n|^\n(?=    ))+"
BLOCKS = [re.sub("^    ", "", one, flags=re.MULTILINE).strip("\n") for one in re.findall(_INDENTED, PAGE, re.MULTILINE)]
"""What is shown there of a terminal."""

VARYING = (
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}", "TIME"),
    (r"(in_port=|ofport )\d+", r"\1N"),
    (r"\d+ packets, \d+ bytes in \d+ s", "N packets"),
    (r"its \d+ flows", "its N flows"),
)
"""What is another at each run."""


def lines(text: str) -> list[str]:
    for pattern, word in VARYING:
        text = re.sub(pattern, word, text)
    return [line for line in text.splitlines() if line.strip()]


def in_order(shown: Iterable[str], printed: list[str]) -> list[str]:
    """Lines that are shown, and were not printed in this order; the page leaves some out where it has an ellipsis."""
    rest = iter(printed)
    return [line for line in shown if line != "…" and line not in rest]


def block(first: str) -> list[str]:
    """The lines of the one example that begins so, without that."""
    [found] = [one for one in BLOCKS if one.startswith(f"{first}\n")]
    return lines(found)[1:]


def test_the_examples(ovs: OvsHost, tunbridge: Callable[..., Tunbridge]) -> None:
    """Each of the commands at its head is one, and the outputs shown are what is printed."""
    controller = tunbridge()
    controller.apply(reference.DOCUMENT)
    controller.wait_in_sync()
    ovs.plug_many(reference.DEVICES)
    ovs.plug("tapx", "00000000-0000-4000-8000-00000000dead")
    for device in reference.DEVICES:
        controller.wait_device(device.name, status="ACTIVE")
    controller.wait_device("tapx", status="DOWN")

    commands = [line.partition("#")[0].split()[1:] for line in BLOCKS[0].splitlines()]
    assert [words[0] for words in commands] == ["status", "top", "trace", "explain", "events", "flows"]
    for words in commands:
        once = ["--once"] if words[0] == "top" else []
        assert controller.command(*words, *once, statuses=(0, 1, 3)) or words[0] == "flows"

    for thing in ("tapx", "10.1.1.13"):
        printed = lines(controller.command("explain", thing))
        assert in_order(block(f"$ tunbridge explain {thing}"), printed) == [], printed

    log = [one for one in BLOCKS if one.startswith("… WARNING controller.openflow.tables.flow_log")]
    said = [line.removeprefix("… ") for line in lines(log[0])]
    [deleted] = [line for line in said if "deleted: cookie=" in line]
    flow = deleted.partition(", ")[2].partition(" actions")[0]
    ovs.ofctl("--strict", "del-flows", "br-tun", flow)
    wait_until(lambda: controller.log_text().count("[drift-repaired]") == 1, 20, controller.log_tail)
    ovs.ofctl("add-flow", "br-tun", "priority=50,arp,actions=FLOOD")
    wait_until(lambda: controller.log_text().count("[drift-repaired]") == 2, 20, controller.log_tail)
    printed = [line.removeprefix("TIME ") for line in lines(controller.log_text())]
    assert in_order(said, printed) == [], printed
