"""Options that applications declare: read with all others, and handed on by name."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from apps import APPLICATIONS
from apps.framework.app import App, Placed, Unit
from apps.framework.host_view import HostView, ViewChange
from apps.framework.options import AppOption
from controller.config.config import declared_options, load
from topology.errors import ConfigError


class Chatty(App):
    """An application that has options and no flows."""

    name = "chatty"
    number = 77
    bands = ()

    def __init__(self, *options: AppOption) -> None:
        self.options = options

    def units(self, view: HostView) -> Iterable[Unit]:
        return ()

    def touched(self, change: ViewChange) -> Iterable[Unit]:
        return ()

    def flows(self, unit: Unit, view: HostView) -> Iterable[Placed]:
        return ()


LOUD = AppOption("flows", "loud", False, "boolean", "It talks.")
TIMES = AppOption("agent", "times", 3, "integer", "How often.")
WORD = AppOption("flows", "word", "", "string", "What it says.")
CHATTY = Chatty(LOUD, TIMES, WORD)


def test_defaults_are_handed_on() -> None:
    loaded = load([], applications=[CHATTY])
    assert dict(loaded.applications) == {"flows.loud": False, "agent.times": 3, "flows.word": ""}


def test_files_set_them_beside_ours(tmp_path: Path) -> None:
    path = tmp_path / "c"
    path.write_text("[agent]\ntimes = -4\nvxlan_udp_port = 8472\n[flows]\nloud = yes\nword = hello, you\n")
    loaded = load([str(path)], applications=[CHATTY])
    assert dict(loaded.applications) == {"flows.loud": True, "agent.times": -4, "flows.word": "hello, you"}
    assert loaded.agent.vxlan_udp_port == 8472


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("[flows]\nloud = very", "[flows] loud = 'very': expected true or false"),
        ("[agent]\ntimes = 1.5", "[agent] times = '1.5': expected a whole number"),
    ],
)
def test_wrong_values_are_refused(tmp_path: Path, line: str, reason: str) -> None:
    path = tmp_path / "c"
    path.write_text(f"{line}\n")
    with pytest.raises(ConfigError) as caught:
        load([str(path)], applications=[CHATTY])
    assert str(caught.value) == f"{path}: {reason}"


def test_they_stand_with_the_others() -> None:
    declared = declared_options([CHATTY])
    assert list(declared)[-1] == "flows" and list(declared["flows"]) == ["loud", "word"]
    assert list(declared["agent"])[-1] == "times"
    assert declared["flows"]["loud"].default == "false" and declared["flows"]["loud"].text == "It talks"


@pytest.mark.parametrize(
    "applications",
    [
        [Chatty(AppOption("agent", "vxlan_udp_port", 1, "integer", "Ours."))],
        [CHATTY, Chatty(LOUD)],
    ],
)
def test_an_option_is_declared_once(applications: list[App]) -> None:
    with pytest.raises(ValueError, match=r"\[(agent|flows)\] (vxlan_udp_port|loud)"):
        declared_options(applications)


def test_those_there_are_can_be_put_together() -> None:
    assert {f"{group}.{name}" for group, options in declared_options().items() for name in options} >= {
        option.key for application in APPLICATIONS for option in application.options
    }
