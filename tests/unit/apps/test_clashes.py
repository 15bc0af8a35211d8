"""Applications that clash are refused when they are put together, with one message that names both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from apps import APPLICATIONS
from apps.framework.app import App
from apps.framework.compiler import Compiler
from apps.framework.options import AppOption
from apps.integration_bridge import DROP, IntegrationBridge

FREE = replace(DROP, name="OWN_DROP", priority=7)
SWITCH = AppOption("flows", "quiet", False, "boolean", "Be quiet.")


class Another(IntegrationBridge):
    """An application that clashes with none, until something is changed."""

    name = "another"
    number = 99
    bands = (FREE,)
    options = (SWITCH,)


def another(**changes: Any) -> App:
    return type("Changed", (Another,), changes)()


def test_one_that_clashes_with_none_is_accepted() -> None:
    Compiler((*APPLICATIONS, another()))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"name": "tunnel bridge"},
            "applications tunnel bridge and tunnel bridge clash: both have the name tunnel bridge",
        ),
        ({"number": 2}, "applications tunnel bridge and another clash: both have number 2"),
        (
            {"bands": (replace(FREE, name="TUN_DROP"),)},
            "applications tunnel bridge and another clash: both have a band TUN_DROP",
        ),
        (
            {"bands": (replace(FREE, priority=2),)},
            "applications integration bridge and another clash: "
            "both have a band at priority 2 of table 0, integration bridge",
        ),
        ({"bands": (FREE, FREE)}, "applications another and another clash: both have a band OWN_DROP"),
        ({"number": 0}, "application another: number 0 is not between 1 and 255"),
        ({"number": 256}, "application another: number 256 is not between 1 and 255"),
    ],
)
def test_what_clashes_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{reason}$"):
        Compiler((*APPLICATIONS, another(**changes)))


def test_two_with_one_option_are_refused() -> None:
    """Each would take what was said to the other."""
    make: Callable[..., App] = another
    other = make(name="more", number=98, bands=())
    with pytest.raises(ValueError, match=r"^applications another and more clash: both have the option flows\.quiet$"):
        Compiler((*APPLICATIONS, make(), other))
