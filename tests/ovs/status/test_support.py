"""``tunbridge support`` on a real Open vSwitch: what is in the archive, what is not, and no secret anywhere in it."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import reference
from tests.support.host.ovs import OvsHost
from tests.support.host.tunbridge import Tunbridge

pytestmark = pytest.mark.one_hub
VM = reference.VM

SECRETS = {
    "keystone": "keystone-S3cret.1",
    "rabbit": "rabbit-S3cret.2",
    "metadata": "metadata-S3cret.3",
    "url": "url-S3cret.4",
    "token": "token-S3cret.5",
    "shown": "shown-S3cret.6",
    "psk": "psk-S3cret.7",
    "logged": "logged-S3cret.8",
    "dollar": "dol$lar-S3cret.9",
    "folded": "folded-S3cret.10",
}


def contents(archive: Path) -> dict[str, str]:
    """Name of a file in its folder → what is in it."""
    found = {}
    with tarfile.open(archive) as opened:
        for member in opened.getmembers():
            file = opened.extractfile(member)
            assert file is not None
            assert member.mode == 0o600
            found[member.name.partition("/")[2]] = file.read().decode()
    return found


def test_all_of_it_and_no_secret(ovs: OvsHost, tunbridge: Callable[..., Tunbridge], tmp_path: Path) -> None:
    """Everything is there; secrets of our options, of other programs' in the file, of rows and of the log are not."""
    tokens, shown, log = tmp_path / "tokens.yaml", tmp_path / "token", tmp_path / "controller.log"
    for file, text in (
        (tokens, f"- {{token: {SECRETS['token']}, user: alice, roles: [admin]}}\n"),
        (shown, f"{SECRETS['shown']}\n"),
    ):
        file.write_text(text)
        file.chmod(0o600)
    controller = tunbridge(
        options={
            "DEFAULT": {
                "log_file": log,
                "transport_url": f"rabbit://neutron:{SECRETS['rabbit']}@192.0.2.1:5672/",
                "metadata_proxy_shared_secret": SECRETS["metadata"],
            },
            "api": {"token_file": tokens},
            "notifications": {"url": "http://127.0.0.1:1/events", "token_file": shown},
            "keystone_authtoken": {
                "auth_url": f"http://nova:{SECRETS['url']}@192.0.2.1:5000/",
                "password": SECRETS["keystone"],
                "admin_token": SECRETS["dollar"].replace("$", "$$"),
                "service_token_secret": f"\n  {SECRETS['folded']}",
            },
        }
    )
    controller.apply(reference.DOCUMENT)
    ovs.plug_many([VM])
    controller.wait_device(VM.name, status="ACTIVE")
    controller.wait_in_sync()
    ovs.vsctl("set", "Interface", VM.name, f"options:psk={SECRETS['psk']}", f"external_ids:note={SECRETS['keystone']}")
    ovs.plug("tapx", f"x-{SECRETS['rabbit']}")  # which the log, the status and an event repeat
    controller.wait_device("tapx", status="DOWN")
    with log.open("a") as file:
        lines = (
            f"X-Auth-Token: {SECRETS['logged']}",
            f"at http://nova:{SECRETS['url']}@h/, password={SECRETS['psk']}x",
        )
        file.write("".join(f"2026-11-28 15:44:08.123 INFO other {line}\n" for line in lines))
        file.write(f"plainly {SECRETS['metadata']} and {SECRETS['dollar']}\n")

    archive = tmp_path / "out.tar.gz"
    said = controller.command("support", "--output", str(archive))
    assert archive.stat().st_mode & 0o777 == 0o600
    found = contents(archive)
    whole = "\n".join(found.values()) + said
    assert [name for name, secret in SECRETS.items() if secret in whole] == []
    assert said.splitlines()[:-1] == list(found)
    assert said.splitlines()[-1] == f"written: {archive} ({archive.stat().st_size} bytes, mode 0600)"
    assert found["contents.txt"].splitlines() == sorted(found.keys() - {"contents.txt"})

    flow = next(line for line in controller.flows("br-tun") if VM.mac in line)
    assert flow in found["flows/br-tun.installed.txt"]
    assert flow in found["flows/br-tun.desired.txt"]
    assert found["flows/br-int.diff.txt"] == ""
    status = json.loads(found["status.json"])
    assert {port["device"] for port in status["ports"]} == {VM.name, "tapx"}
    events = [json.loads(line) for line in found["events.jsonl"].splitlines()]
    assert {"port-active", "device-refused"} <= {event["event"] for event in events}
    interfaces = {row["name"]: row for row in json.loads(found["ovsdb.json"])["Interface"]}
    assert interfaces[VM.name]["options"]["psk"] == interfaces[VM.name]["external_ids"]["note"] == "(removed)"
    assert interfaces[VM.name]["external_ids"]["iface-id"] == VM.port_id
    assert "is up on network" in found["log.txt"]
    assert "at http://(removed)@h/, password=(removed)" in found["log.txt"]
    assert f"token_file = {tokens}" in found["configuration.txt"]
    assert "host = host1" in found["configuration.txt"]
    assert "tunbridge_in_sync 1.0" in found["metrics.txt"]
    assert json.loads(found["versions.json"])["libraries"]["os-ken"]

    assert "is there already" in _refusal(controller, "--output", str(archive))
    assert "cannot be written" in _refusal(controller, "--output", str(tmp_path / "none" / "x"))


def test_what_cannot_be_had(ovs: OvsHost, tunbridge: Callable[..., Tunbridge], tmp_path: Path) -> None:
    """Without a controller, a local OVSDB and a log file: each is named, and the rest is there."""
    controller = tunbridge()
    controller.wait_in_sync()
    controller.stop()
    ovs.stop_vswitchd()
    archive = tmp_path / "out.tar.gz"
    with ovs.frozen_ovsdb_server():
        said = controller.command("support", "--output", str(archive))
    found = contents(archive)
    assert found.keys() == {"versions.json", "configuration.txt", "contents.txt"}
    missing = [line.partition(": ")[2] for line in said.splitlines() if line.startswith("not in it: ")]
    assert [line.partition(":")[0] for line in missing] == [
        *("status", "flows", "events", "metrics", "rows of the local OVSDB", "log"),
    ]
    assert "no controller is running on this host" in missing[0]
    assert "does not answer within 5 s" in missing[4]
    assert found["contents.txt"].count("not in it: ") == len(missing)


def _refusal(controller: Tunbridge, *arguments: str) -> str:
    """What the command says; it fails."""
    with pytest.raises(AssertionError) as caught:
        controller.command("support", *arguments)
    assert "status 1: tunbridge: " in str(caught.value)
    return str(caught.value)
