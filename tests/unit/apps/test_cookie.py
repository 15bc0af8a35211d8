"""Cookies name the owner of a flow, for ever: they are in installed flows."""

from __future__ import annotations

import pytest

from apps import APPLICATIONS
from apps.framework.cookie import app_number, cookie, is_ours

NUMBERS = {app.name: app.number for app in APPLICATIONS}


@pytest.mark.parametrize(
    ("app", "object_id", "expected"),
    [
        ("integration bridge", "", 0x7B1D_01_0000000000),
        ("tunnel bridge", "", 0x7B1D_02_0000000000),
        ("tunnel bridge", "99f91280-a060-442e-90b0-d8324e50efc8", 0x7B1D_02_0000000000 | 0x5C68C4202F),
        ("integration bridge", "tap3f1f785c-70", 0x7B1D_01_0000000000 | 0xC0A8494D83),
    ],
)
def test_layout_is_stable(app: str, object_id: str, expected: int) -> None:
    """The very numbers: a release that changes them takes all flows of a running host for foreign ones."""
    assert cookie(NUMBERS[app], object_id) == expected


def test_numbers_are_for_ever() -> None:
    assert NUMBERS == {
        "integration bridge": 1,
        "tunnel bridge": 2,
        "physical bridge": 3,
        "L2 population": 4,
        "ARP responder": 5,
        "port security": 6,
        "security groups": 7,
        "port delivery": 8,
        "drop counters": 9,
    }


def test_objects_and_apps_differ() -> None:
    """Two objects, or two apps on one object, have two cookies; each tells its app."""
    cookies = {
        cookie(number, object_id): number for number in NUMBERS.values() for object_id in ("", "a", "b", "tap1", "tap2")
    }
    assert len(cookies) == len(NUMBERS) * 5
    for value, number in cookies.items():
        assert is_ours(value)
        assert app_number(value) == number


@pytest.mark.parametrize("foreign", [0, 1, 0x7B1C_FFFF_FFFF_FFFF, 0x7B1E_0100_0000_0000, 0x7B1D, 2**64 - 1])
def test_foreign_cookies(foreign: int) -> None:
    """A cookie without our mark is nobody's app."""
    assert not is_ours(foreign)
    assert app_number(foreign) is None


def test_application_of_a_later_release() -> None:
    """A flow of an app that this release does not know is ours all the same."""
    value = 0x7B1D_FE_0000000001
    assert is_ours(value)
    assert app_number(value) == 0xFE
