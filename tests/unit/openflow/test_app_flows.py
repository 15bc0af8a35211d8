"""Flows of os-ken applications: what is put back, and what an application has removed itself."""

from __future__ import annotations

import pytest

from apps.framework.cookie import OTHERS_MASK, others_cookie
from controller.openflow.tables.app_flows import AppFlows
from controller.openflow.wire.flow_messages import InstalledFlow

COOKIE = others_cookie("one")
ONE = InstalledFlow(None, None, 201, 5, COOKIE | 1, b"", b"", 0, 0, 0, 0, 0, 0, 0)
TWO = ONE._replace(priority=6)
FLEETING = ONE._replace(priority=7, idle_timeout=9)
SOMEBODYS = ONE._replace(priority=8, cookie=others_cookie("two"))
ALL = [ONE, TWO, FLEETING, SOMEBODYS]


@pytest.fixture
def flows() -> AppFlows:
    flows = AppFlows(lambda _table, _priority, cookie: cookie & OTHERS_MASK == COOKIE)
    flows.learn(ALL)
    return flows


@pytest.mark.parametrize("is_new", [False, True])
def test_what_others_have_deleted_is_put_back(flows: AppFlows, is_new: bool) -> None:
    """But for what goes by itself, or is of an application that does not run."""
    assert flows.missing([TWO], changed=False, is_new=is_new) == [ONE]
    assert sorted(flow.priority for flow in flows.missing([], changed=False, is_new=is_new)) == [5, 6]


def test_what_it_may_have_deleted_itself_is_not(flows: AppFlows) -> None:
    assert flows.missing([TWO], changed=True, is_new=False) == []
    assert flows.missing([TWO], changed=False, is_new=False) == []


def test_nor_what_it_deletes_meanwhile(flows: AppFlows) -> None:
    assert flows.changing()
    assert not flows.changing()
    assert flows.missing([TWO], changed=False, is_new=False) == []
    assert flows.begin()
    assert not flows.begin()


def test_on_a_new_connection_all_was_lost_whatever_it_has_sent_by_now(flows: AppFlows) -> None:
    flows.changing()
    assert flows.missing([TWO], changed=True, is_new=True) == [ONE]


def test_what_the_switch_does_not_take_is_forgotten(flows: AppFlows) -> None:
    assert flows.missing([], changed=False, is_new=True) == [ONE, TWO]
    flows.forget(ONE)
    assert flows.missing([], changed=False, is_new=True) == [TWO]
