"""Topology documents: what is accepted, and the one message for each thing that is not."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from topology.documents.document_text import MAX_BYTES
from topology.documents.reader import load_document, parse_document
from topology.documents.yaml_values import MAX_DEPTH, parse_yaml
from topology.errors import DocumentError

U1, U2 = "00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"
M1, M2 = "fa:16:3e:00:00:01", "fa:16:3e:00:00:02"


def network(**keys: Any) -> dict[str, Any]:
    return {"networks": [{"name": "n", **keys}]}


def port(**keys: Any) -> dict[str, Any]:
    return network(ports=[{"name": "fine"}, {"name": "p", **keys}])


def subnet(**keys: Any) -> dict[str, Any]:
    return network(subnets=[{"cidr": "10.0.0.0/24", **keys}])


PORT = "networks[0].ports[1]"


@pytest.mark.parametrize(
    ("values", "path", "reason"),
    [
        (None, "", "is empty"),
        ([], "", "is not a mapping"),
        ("text", "", "is not a mapping"),
        ({}, "networks", "is required"),
        ({"networks": None}, "networks", "must be a list"),
        ({"networks": {}}, "networks", "must be a list"),
        ({"networks": [], "network": []}, "network", "unknown key"),
        ({"networks": ["n"]}, "networks[0]", "must be a mapping of keys to values"),
        ({"networks": [{}]}, "networks[0]", "needs an id or a name"),
        (network(colour="red"), "networks[0].colour", "unknown key"),
        (network(network_type="gre"), "networks[0].network_type", "unknown key"),
        (network(**{"x" * 200: 1}), f"networks[0].'{'x' * 60}'…", "unknown key"),
        (network(name=5), "networks[0].name", "must be text; in YAML, put it in quotes"),
        (network(name=""), "networks[0].name", "must not be empty"),
        (network(name="x" * 256), "networks[0].name", "is too long: at most 255 characters"),
        (network(name="a\nb"), "networks[0].name", "has characters that cannot be printed"),
        (network(name="a\x00"), "networks[0].name", "has characters that cannot be printed"),
        (network(id="n1"), "networks[0].id", "'n1' is not a UUID"),
        (network(id=None), "networks[0].id", "must be text"),
        (network(admin_state_up="yes"), "networks[0].admin_state_up", "must be true or false"),
        (network(admin_state_up=1), "networks[0].admin_state_up", "must be true or false"),
        (
            network(**{"provider:network_type": "GRE"}),
            "networks[0].provider:network_type",
            "must be one of 'gre', 'vxlan', 'geneve', 'vlan', 'flat' or 'local'",
        ),
        (
            network(**{"provider:segmentation_id": "2"}),
            "networks[0].provider:segmentation_id",
            "must be a whole number",
        ),
        (network(**{"provider:segmentation_id": True}), "networks[0].provider:segmentation_id", "must be a whole"),
        (network(**{"provider:segmentation_id": 2.5}), "networks[0].provider:segmentation_id", "must be a whole"),
        (network(**{"provider:physical_network": 1}), "networks[0].provider:physical_network", "must be text"),
        (network(subnets={}), "networks[0].subnets", "must be a list"),
        (network(subnets=[{}]), "networks[0].subnets[0].cidr", "is required"),
        (subnet(cidr="10.0.0.0"), "networks[0].subnets[0].cidr", "'10.0.0.0' is not a CIDR such as 10.0.0.0/32"),
        (subnet(cidr="10.0.0.1/24"), "networks[0].subnets[0].cidr", "is not a CIDR such as 10.0.0.0/24"),
        (subnet(cidr="10.0.0.0/33"), "networks[0].subnets[0].cidr", "is not a CIDR"),
        (subnet(gateway_ip="x"), "networks[0].subnets[0].gateway_ip", "'x' is not an IP address"),
        (subnet(gateway_ip="10.0.1.1"), "networks[0].subnets[0].gateway_ip", "10.0.1.1 is not in 10.0.0.0/24"),
        (subnet(gateway_ip="fe80::1"), "networks[0].subnets[0].gateway_ip", "fe80::1 is not in 10.0.0.0/24"),
        (subnet(id="x"), "networks[0].subnets[0].id", "'x' is not a UUID"),
        (
            network(subnets=[{"cidr": "10.0.0.0/24"}, {"cidr": "10.0.0.0/255.255.255.0"}]),
            "networks[0].subnets[1].cidr",
            "10.0.0.0/24 is given to networks[0].subnets[0].cidr already",
        ),
        (network(ports=[{}]), "networks[0].ports[0]", "needs an id, a mac_address or a name"),
        (network(ports=[{"device_id": "vm"}]), "networks[0].ports[0]", "needs an id, a mac_address or a name"),
        (port(mac_address="fa:16:3e"), f"{PORT}.mac_address", "'fa:16:3e' is not a MAC address"),
        (port(mac_address=0x10), f"{PORT}.mac_address", "must be text"),
        (port(mac_address="01:00:5e:00:00:01"), f"{PORT}.mac_address", "multicast"),
        (port(mac_address="00:00:00:00:00:00"), f"{PORT}.mac_address", "is not the address of a port"),
        (port(status="ACTIVE"), f"{PORT}.status", "unknown key"),
        (port(host_id="h1"), f"{PORT}.host_id", "unknown key"),
        (port(**{"binding:host_id": ""}), f"{PORT}.binding:host_id", "must not be empty"),
        (port(fixed_ips="10.0.0.1"), f"{PORT}.fixed_ips", "must be a list"),
        (port(fixed_ips=[{}]), f"{PORT}.fixed_ips[0].ip_address", "is required"),
        (port(fixed_ips=[{"ip_address": "10.0.0.256"}]), f"{PORT}.fixed_ips[0].ip_address", "is not an IP address"),
        (port(fixed_ips=[{"ip_address": "fe80::1%eth0"}]), f"{PORT}.fixed_ips[0].ip_address", "is not an IP"),
        (
            port(fixed_ips=[{"ip_address": "10.0.0.1", "subnet_id": "s"}]),
            f"{PORT}.fixed_ips[0].subnet_id",
            "not a UUID",
        ),
        (
            port(fixed_ips=[{"ip_address": "::1"}, {"ip_address": "0:0::1"}]),
            f"{PORT}.fixed_ips[1].ip_address",
            f"::1 is given to {PORT}.fixed_ips[0].ip_address already",
        ),
        (
            {"networks": [{"name": "a"}, {"name": "a"}]},
            "networks[1].name",
            "'a' is given to networks[0].name already",
        ),
        (
            {"networks": [{"id": U1}, {"id": U1.replace("-", "")}]},
            "networks[1].id",
            f"{U1} is given to networks[0].id already",
        ),
        (
            {"networks": [{"name": "a", "ports": [{"id": U1}]}, {"name": "b", "ports": [{"id": U1}]}]},
            "networks[1].ports[0].id",
            f"{U1} is given to networks[0].ports[0].id already",
        ),
        (
            network(ports=[{"mac_address": M1}, {"mac_address": M1.upper().replace(":", "-")}]),
            "networks[0].ports[1].mac_address",
            f"{M1} is given to networks[0].ports[0].mac_address already",
        ),
        (network(ports=[{"name": "p"}, {"name": "p"}]), "networks[0].ports[1].name", "'p' is given to networks[0].p"),
        (
            {"networks": [{"name": n, "subnets": [{"cidr": "10.0.0.0/24", "id": U1}]} for n in "ab"]},
            "networks[1].subnets[0].id",
            f"{U1} is given to networks[0].subnets[0].id already",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_path(values: Any, path: str, reason: str) -> None:
    with pytest.raises(DocumentError) as caught:
        parse_document(values)
    assert caught.value.path == path
    assert reason in caught.value.reason
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_values_are_made_canonical_and_what_was_given_is_known() -> None:
    document = parse_document(
        {
            "networks": [
                {
                    "id": U1.upper().replace("-", ""),
                    "provider:network_type": "vlan",
                    "subnets": [{"cidr": "2001:DB8::/64", "gateway_ip": None}],
                    "ports": [{"mac_address": "FA-16-3E-00-00-01", "fixed_ips": [{"ip_address": "2001:DB8:0::1"}]}],
                }
            ]
        }
    )
    [element] = document
    assert element.values == {"id": U1, "provider:network_type": "vlan"}
    [subnet_element] = element.subnets
    assert subnet_element.values == {"cidr": "2001:db8::/64", "gateway_ip": None}
    [only] = element.ports
    assert only.values == {"mac_address": M1, "fixed_ips": [{"ip_address": "2001:db8::1"}]}


def test_one_name_on_two_networks_is_no_contradiction_for_ports() -> None:
    same = [{"name": "p"}, {"mac_address": M1}]
    parse_document({"networks": [{"name": "a", "ports": same}, {"name": "b", "ports": same}]})
    parse_document({"networks": [{"name": "a", "id": U1}, {"name": "a", "id": U2}]})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("networks: [\n", "line 2, column 1: "),
        ("networks:\n- name: a\n  name: b\n", "line 3, column 3: the key 'name' occurs twice"),
        ("networks: &a [*a]", "line 1, column 15: an alias (*a) is not accepted"),
        ("a: &a [x]\nb: *a\n", "line 2, column 4: an alias (*a) is not accepted"),
        ("networks: []\n---\nnetworks: []\n", "line 2, column 1: a second document begins here"),
        ("networks: !!python/object/apply:os.system [id]", "line 1, column 11: the tag"),
        ("networks: !!python/name:os.system x", "line 1, column 11: the tag tag:yaml.org,2002:python/name:os.system"),
        ("networks: !!set {a}", "the tag tag:yaml.org,2002:set is not accepted"),
        ("<<: {networks: []}", "line 1, column 1: a merge key (<<) is not accepted"),
        ("networks: " + "9" * 10000, "has no meaning; quote it"),
        ("networks: " + "-" + "9" * 300_000, "has no meaning; quote it"),
        ("networks: " + "9" * 400 + ".5", "has no meaning; quote it"),
        ("networks: " + "9" * 309, "has no meaning; quote it"),
        ("networks: -" + "9" * 4300, "has no meaning; quote it"),
        ("networks: !!int 0x1f", "'0x1f' is not what its tag tag:yaml.org,2002:int says"),
        ("networks: !!int true", "'true' is not what its tag tag:yaml.org,2002:int says"),
        ("networks: !!float .inf", "'.inf' is not what its tag tag:yaml.org,2002:float says"),
        ("networks: !!timestamp 2024-01-01", "the tag tag:yaml.org,2002:timestamp is not accepted"),
        ("networks: !!binary aGk=", "the tag tag:yaml.org,2002:binary is not accepted"),
        ("1: []", "1 is not a key: keys are text"),
        ("? [a, b]\n: c", "is not a key: keys are text"),
        ("? {a: b}\n: c", "is not a key: keys are text"),
        ("[" * (MAX_DEPTH + 1), f"nested deeper than {MAX_DEPTH} levels"),
        ("[" * 1_000_000, "nest"),  # PyYAML since 6.0.4 says so itself, of more than a thousand
        ("{a: " * 100_000, f"nested deeper than {MAX_DEPTH} levels"),
        ("- " * 100_000, f"nested deeper than {MAX_DEPTH} levels"),
        ("networks: \x00", "not YAML"),
        ("networks: \x1b[2J", "not YAML"),
        ("%YAML 3.0\n---\na: b", "incompatible YAML document"),
        ("networks:\n\t- a", "line 2, column 1: found character that cannot start any token"),
        ('networks: "\\ud800"', "invalid Unicode"),
    ],
)
def test_yaml_that_is_not_accepted_is_named_with_its_line(text: str, reason: str) -> None:
    with pytest.raises(DocumentError) as caught:
        parse_yaml(text)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((word, word) for word in ("1:30", "10:20:30:40:50:59", "190:20:30.15", "-1:0", "1:11.5")),
        *((word, word) for word in ("010", "-07", "0x1f", "0b101", "0o17", "1_000", "1_0.5", "_1", "+_1")),
        *((word, word) for word in (".inf", "-.INF", ".nan", ".5", "5.", "1e3", "1.5e+3", "2024-01-01", "2024-13-40")),
        *((word, word) for word in ("2001-12-14t21:59:43.10-05:00", "=", "-a", "١٢", "TRue")),
        ("0", 0),
        ("-0", 0),
        ("+12", 12),
        ("4094", 4094),
        ("1.50", 1.5),
        ("-0.25", -0.25),
        ("yes", True),
        ("Off", False),
        ("", None),
        ("~", None),
        ("NULL", None),
        ("'12'", "12"),
        ('"true"', "true"),
        ("! 12", "12"),
        ("!!str 12", "12"),
        ('!!int "12"', 12),
        ("!!float 12", 12),
    ],
)
def test_only_decimal_numbers_are_numbers(text: str, value: object) -> None:
    found = parse_yaml(f"a: {text}\n")["a"]
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize(
    "text",
    [
        "1" + ":11" * 100_000,
        "1" + ":11" * 100_000 + ".5",
        "-1" + ":59" * 100_000 + ":00",
        "0x" + "f" * 300_000,
        "0b" + "1" * 300_000,
        "1" + "_1" * 150_000,
        "." + "5" * 300_000,
        "5" * 300_000 + ".",
    ],
    ids=lambda text: text[:8],
)
def test_what_looks_like_a_long_number_is_text_at_once(text: str) -> None:
    began = time.process_time()
    assert parse_yaml(f"a: {text}\n") == {"a": text}
    assert time.process_time() - began < 5, "more than proportional to its length: some 0.05 s are enough"


def test_addresses_need_no_quotes() -> None:
    text = "networks: [{name: n, ports: [{mac_address: 10:20:30:40:50:59}, {mac_address: 12:12:12:12:12:12}]}]"
    [network] = parse_document(parse_yaml(text))
    assert [port.mac_address for port in network.ports] == ["10:20:30:40:50:59", "12:12:12:12:12:12"]


def test_what_is_read_is_told_now_and_then() -> None:
    told: list[float] = []
    parse_yaml("[" + "{a: 1}, " * 30_000 + "]", told.append)
    assert len(told) >= 5
    assert told == sorted(told)
    assert 0 < told[0] < 0.5 < told[-1] <= 1


def test_many_keys_and_long_lists_are_read_in_their_order() -> None:
    names = [f"n{at}" for at in range(500)]
    text = "networks:\n" + "".join(f"- name: {name}\n  ports: [{{name: p}}]\n" for name in names)
    document = parse_document(parse_yaml(text))
    assert [element.name for element in document] == names


def write(path: Path, raw: bytes) -> Path:
    path.write_bytes(raw)
    return path


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "missing.yaml"
    latin = write(tmp_path / "latin.yaml", b"networks: \xe4")
    for path, reason in (
        (missing, f"{missing}: cannot be read: No such file or directory"),
        (tmp_path, f"{tmp_path}: cannot be read: Is a directory"),
        (write(tmp_path / "empty.yaml", b""), f"{tmp_path}/empty.yaml: is empty"),
        (write(tmp_path / "comment.yaml", b"# nothing\n"), f"{tmp_path}/comment.yaml: is empty"),
        (latin, f"{latin}: is not UTF-8 text: byte 10 is 0xe4"),
        (write(tmp_path / "torn.yaml", b"networks: [\n"), f"{tmp_path}/torn.yaml: line 2, column 1:"),
        (write(tmp_path / "huge.yaml", b"#" * (MAX_BYTES + 1)), f"{tmp_path}/huge.yaml: is larger than 16 MiB"),
    ):
        with pytest.raises(DocumentError) as caught:
            load_document(path)
        assert str(caught.value).startswith(reason)
        assert caught.value.path == ""


def test_a_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    assert load_document(write(tmp_path / "bom.yaml", b"\xef\xbb\xbfnetworks: []")) == []


def test_the_example_is_the_reference_case() -> None:
    document = load_document(Path(__file__).parents[3] / "examples" / "demo.yaml")
    demo, external = document
    assert (demo.id, demo.values["provider:segmentation_id"]) == ("c4d8b48b-6ff7-43b6-a203-8f1192a16f07", 2)
    assert [only.mac_address[-8:] for only in demo.ports] == ["2a:6e:1c", "b6:fc:21", "02:dd:79"]
    assert (external.name, external.ports) == ("external_net1", ())
