"""os-ken applications that do what they may not, raise, or let nobody else work: named, contained; ours serves on."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.framework.cookie import others_cookie
from tests.support.host.ovs import OvsHost
from tests.support.host.scenario import Host, new_network, new_port
from tests.support.host.tunbridge import Tunbridge
from tests.support.waiting import wait_until

pytestmark = pytest.mark.one_hub

HEAD = """
import json, time
from os_ken.base.app_manager import OSKenApp
from os_ken.controller import ofp_event
from os_ken.controller.handler import CONFIG_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from os_ken.ofproto import nicira_ext
FEATURES = set_ev_cls(ofp_event.EventOFPSwitchFeatures, CONFIG_DISPATCHER)
"""

GREEDY = """
class Greedy(OSKenApp):
    @FEATURES
    def there(self, event):
        dp = event.msg.datapath
        if dp.name != "br-int":
            return
        p, o = dp.ofproto_parser, dp.ofproto
        own = {"cookie": dp.cookie, "cookie_mask": dp.cookie_mask}
        specs = [p.NXFlowSpecMatch(src=("eth_src", 0), dst=("eth_dst", 0), n_bits=48)]
        learn = p.NXActionLearn(table_id=0, specs=specs)
        acting = [p.OFPInstructionActions(o.OFPIT_APPLY_ACTIONS, [learn])]
        tries = {
            "no mark": p.OFPFlowMod(dp, priority=50000),
            "mark of Tunbridge": p.OFPFlowMod(dp, priority=50000, cookie=0x7b1d << 48),
            "place of Tunbridge": p.OFPFlowMod(dp, priority=3, cookie=dp.cookie),
            "table of Tunbridge": p.OFPFlowMod(dp, table_id=1, priority=50000, cookie=dp.cookie),
            "delete all": p.OFPFlowMod(dp, command=o.OFPFC_DELETE, out_port=o.OFPP_ANY, out_group=o.OFPG_ANY),
            "delete unmasked": p.OFPFlowMod(
                dp, command=o.OFPFC_DELETE, cookie=dp.cookie, out_port=o.OFPP_ANY, out_group=o.OFPG_ANY
            ),
            "modify all": p.OFPFlowMod(dp, command=o.OFPFC_MODIFY),
            "learn": p.OFPFlowMod(dp, priority=50000, cookie=dp.cookie, instructions=acting),
            "learn at once": p.OFPPacketOut(dp, o.OFP_NO_BUFFER, o.OFPP_CONTROLLER, [learn], b"x" * 64),
            "set config": p.OFPSetConfig(dp, 0, 0),
            "role": p.OFPRoleRequest(dp, o.OFPCR_ROLE_SLAVE, 0),
            "async": p.OFPSetAsync(dp, [0, 0], [0, 0], [0, 0]),
            "group": p.OFPGroupMod(dp, o.OFPGC_ADD, o.OFPGT_ALL, 1, []),
            "meter": p.OFPMeterMod(dp, o.OFPMC_DELETE, 0, o.OFPM_ALL, []),
            "port": p.OFPPortMod(dp, 1, "aa:bb:cc:dd:ee:ff", 1, 1, 0),
            "monitor": p.OFPExperimenterStatsRequest(dp, 0, 0x4f4e4600, 1870, b""),
            "hello": p.OFPHello(dp),
        }
        for xid, (name, message) in enumerate(tries.items(), 1):
            message.xid = xid  # as if it were one of the controller's
            try:
                dp.send_msg(message)
                why = "sent"
            except Exception as error:
                why = str(error)
            self.write(name, why)
        for name in ("close", "send"):
            try:
                getattr(dp, name)(*([b"xxxxxxxx"] if name == "send" else []))
            except Exception as error:
                self.write(name, str(error))
        dp.send_msg(p.OFPFlowMod(dp, priority=50001, cookie=dp.cookie | 7))
        dp.send_msg(p.OFPFlowMod(dp, priority=50002, cookie=dp.cookie | 8))
        dp.send_msg(p.OFPFlowMod(dp, command=o.OFPFC_DELETE, out_port=o.OFPP_ANY, out_group=o.OFPG_ANY, **own))
        dp.send_msg(p.OFPFlowMod(dp, table_id=249, priority=1, cookie=dp.cookie | 9))
        for _ in range(30):  # more than the errors after which a connection is closed
            dp.send_msg(p.OFPFlowMod(dp, table_id=249, cookie=dp.cookie, instructions=[p.OFPInstructionGotoTable(1)]))
        dp.send_msg(p.OFPBarrierRequest(dp))

    @set_ev_cls(ofp_event.EventOFPErrorMsg, MAIN_DISPATCHER)
    def refused(self, event):
        self.write("error", event.msg.type)

    @set_ev_cls(ofp_event.EventOFPBarrierReply, MAIN_DISPATCHER)
    def done(self, event):
        self.write("barrier", event.msg.datapath.name)

    def write(self, name, why):
        with open(FILE, "a") as file:
            file.write(json.dumps([name, why]) + "\\n")
"""

RAISING = """
class Raising(OSKenApp):
    @FEATURES
    def there(self, event):
        raise ZeroDivisionError("a defect")
"""

BLOCKING = """
class Blocking(OSKenApp):
    @FEATURES
    def there(self, event):
        dp = event.msg.datapath
        if dp.name == "br-int":
            dp.send_msg(dp.ofproto_parser.OFPFlowMod(dp, table_id=240, priority=1, cookie=dp.cookie))
            while True:
                try:
                    time.monotonic()
                except Exception:
                    pass  # as many do
"""

FLOODING = """
class Flooding(OSKenApp):
    @FEATURES
    def there(self, event):
        while True:
            event.msg.datapath.send_barrier()
"""

MODULES = {
    "greedy_app": GREEDY,
    "raising_app": RAISING,
    "flooding_app": FLOODING,
    "broken_app": "raise RuntimeError('at import')",
    "empty_app": "",
    "old_app": "class Old(OSKenApp):\n    OFP_VERSIONS = [1]\n",
    "twin_app": "class Greedy(OSKenApp):\n    pass\n",
}
FAILED = {
    "broken_app": "loading it raised RuntimeError: at import",
    "empty_app": "empty_app has no os_ken.base.app_manager.OSKenApp",
    "old_app": "Old does not speak OpenFlow 1.3 (OFP_VERSIONS)",
    "twin_app": "another application is called Greedy too",
    "no.such_app": "there is no module no",
}


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("apps") / "said"


@pytest.fixture(scope="module")
def host(hub: str, said: Path) -> Iterator[Host]:
    modules = MODULES | ({"blocking_app": BLOCKING} if hub == "eventlet" else {})
    for name, source in modules.items():
        (said.parent / f"{name}.py").write_text(f"{HEAD}\nFILE = {str(said)!r}\n{textwrap.dedent(source)}")
    options = {"DEFAULT": {"os_ken_apps": ", ".join([*modules, "no.such_app"])}}
    with (
        OvsHost() as ovs,
        Tunbridge(ovs, hub=hub, environment={"PYTHONPATH": str(said.parent)}, options=options) as controller,
    ):
        yield Host(ovs, controller)


def told(host: Host, name: str) -> dict[str, object]:
    """What status says of an application."""
    found = {one["name"]: one for one in host.tunbridge.quick_status().get("applications", [])}
    return found.get(name, {})


def test_what_it_may_not_send_is_refused_in_words(host: Host, said: Path) -> None:
    """And what it may is done: it has deleted its own flows, and none of ours."""
    wait_until(lambda: said.exists() and '["barrier", "br-int"]' in said.read_text(), 60, host.tunbridge.log_tail)
    lines = [json.loads(line) for line in said.read_text().splitlines()]
    answers = dict(lines)
    assert lines.count(["error", 3]) == 30  # OFPET_BAD_INSTRUCTION, told to who caused it, and the connection lives
    for name, why in {
        "no mark": "which is not of this application",
        "mark of Tunbridge": "which is not of this application",
        "place of Tunbridge": "table 0, priority 3, where flows of Tunbridge may be",
        "table of Tunbridge": "table 1, priority 50000",
        "delete all": "which is not of this application",
        "delete unmasked": "deletes flows of any cookie",
        "modify all": "which is not of this application",
        "learn": "an action learn",
        "learn at once": "an action learn",
        "set config": "OFPT_SET_CONFIG would change the bridge",
        "role": "OFPT_ROLE_REQUEST",
        "async": "OFPT_SET_ASYNC",
        "group": "OFPT_GROUP_MOD",
        "meter": "OFPT_METER_MOD",
        "port": "OFPT_PORT_MOD",
        "monitor": "OFPT_MULTIPART_REQUEST of type 65535",
        "hello": "OFPT_HELLO",
        "close": "is not closed",
        "send": "is not sent bytes",
    }.items():
        assert why in answers[name], (name, answers[name])
    host.wait_flows("br-int", "table=249", 1)
    shown = f"cookie={others_cookie('greedy_app') | 9:#x}, table=249, priority=1 actions=drop"
    assert shown in host.tunbridge.flows("br-int")
    assert not [flow for flow in host.ovs.dump("br-int") if "priority=5000" in flow]
    wait_until(lambda: told(host, "greedy_app").get("flows") == {"br-int": 1}, 20, "status has its flow")


def test_what_raises_is_named(host: Host) -> None:
    def complains() -> bool:
        (line, *_) = told(host, "raising_app").get("problems") or [""]  # type: ignore[misc]
        return "Raising.there (EventOFPSwitchFeatures) raised ZeroDivisionError: a defect" in line

    wait_until(complains, 20, lambda: str(told(host, "raising_app")))
    assert told(host, "raising_app")["state"] == "running"
    host.tunbridge.wait_log("application raising_app: Raising.there")


@pytest.mark.parametrize(("name", "why"), FAILED.items(), ids=str)
def test_what_cannot_be_loaded_is_left_out(host: Host, name: str, why: str) -> None:
    assert (told(host, name)["state"], told(host, name)["reason"]) == ("failed", why)
    assert f"application {name} is left out: {why}" in host.tunbridge.quick_status()["problems"]
    assert f"application {name} is left out: {why}" in host.tunbridge.log_text()


def test_what_floods_waits(host: Host) -> None:
    wait_until(
        lambda: "sends more than 2000 messages a second" in str(told(host, "flooding_app").get("problems")),
        60,
        lambda: str(told(host, "flooding_app")),
    )


def test_what_lets_nobody_work_is_stopped_and_goes_with_its_flows(host: Host, hub: str) -> None:
    if hub != "eventlet":
        pytest.skip("with native threads nobody keeps others from running")
    wait_until(
        lambda: told(host, "blocking_app").get("state") == "stopped", 60, lambda: str(told(host, "blocking_app"))
    )
    reason = str(told(host, "blocking_app")["reason"])
    assert reason.startswith("it let nobody else work for 3 s, in there (")
    assert "blocking_app.py:" in reason
    host.wait_flows("br-int", "table=240", 0)
    assert f"application blocking_app is left out: {reason}" in host.tunbridge.quick_status()["problems"]


def test_ours_serves_on(host: Host) -> None:
    """With all of these beside it."""
    network = new_network()
    host.add_networks(network)
    port = new_port(network)
    host.wire(port)
    host.assert_bound(port)
    flows = host.tunbridge.quick_status()["bridges"]["br-int"]["flows"]
    assert flows["drift"] == 0
    assert others_cookie("greedy_app") >> 48 == 0x7B1E
