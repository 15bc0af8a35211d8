"""Names of patch ports: unique, and short enough for OpenFlow, whatever a bridge is called."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from controller.vswitch.names import Names, patch_name, physical_names


def test_short_names_are_plain() -> None:
    """int-<bridge> and phy-<bridge>, as in the specification."""
    its = physical_names({"physnet1": "br-ex"})["physnet1"]
    assert (its.bridge, its.int_port, its.phy_port) == ("br-ex", "int-br-ex", "phy-br-ex")


def test_a_long_name_is_that_of_neutrons_agent() -> None:
    """Five characters and six digits of a SHA-1, so that the two can take over from each other."""
    assert patch_name("int-", "br-provider1") == "int-br-prcebb81"


NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)


@given(NAMES, NAMES)
def test_names_are_unique_and_short(one: str, other: str) -> None:
    """At most 15 characters, and different for different bridges."""
    assert len(patch_name("int-", one)) <= 15
    assert (patch_name("phy-", one) == patch_name("phy-", other)) == (one == other)


def test_bridges_come_once() -> None:
    """The bridges of a host and its patch ports."""
    names = Names("h1", "br-int", "br-tun", "patch-tun", "patch-int", physical_names({"p1": "br-ex"}))
    assert names.bridges == ("br-int", "br-tun", "br-ex")
    assert names.patch_ports == {"patch-tun", "patch-int", "int-br-ex", "phy-br-ex"}
