"""Limits of projects hold when another writer commits exactly between the reading and the writing of a request."""

from __future__ import annotations

import pytest

from tests.support.waiting import wait_until
from tests.topology.ovsdb import OvsdbServer
from tests.topology.racer import POLICY, Racer
from topology.documents.apply import apply_document
from topology.documents.reader import parse_document
from topology.rules.access.policy import ADMIN, caller
from topology.rules.access.quotas import NO_LIMITS
from topology.rules.request_errors import BadRequest, Forbidden, InUse, NotFound


def put(racer: Racer, project: str, **limits: int) -> None:
    """By the second one; the first one knows of it then."""
    racer.second.quotas.put(ADMIN, project, limits, force=True)
    wait_until(lambda: racer.first.quotas.show(ADMIN, project) == racer.second.quotas.show(ADMIN, project), 10, "both")


def test_the_last_one_is_made_once(racer: Racer, server: OvsdbServer) -> None:
    """Also where it is the first of its project; others are not in its way."""
    for number, project in enumerate(("p", "q")):
        put(racer, project, network=1 + number)
        if number:
            racer.create_first("network", project_id=project)
        racer.meanwhile(lambda project=project: racer.create("network", project_id=project))  # type: ignore[misc]
        with pytest.raises(InUse, match=r"^Quota exceeded for resources: \['network'\]\.$"):
            racer.create_first("network", project_id=project)
    racer.create_first("network", project_id="r")
    assert len(server.rows("Network", "id")) == 4
    assert server.rows("Quota", "project_id", "creations") == [
        {"creations": 1, "project_id": "p"},
        {"creations": 2, "project_id": "q"},
    ]


def test_default_limits_hold_from_the_first_one(server: OvsdbServer) -> None:
    """They have no row before, and nothing of them is listed after; a project that has no name has them too."""
    with Racer(server.connection, {"network": 1, "subnet": -1, "port": -1}) as racer:
        for project in ("p", ""):
            racer.meanwhile(lambda project=project: racer.create("network", project_id=project))  # type: ignore[misc]
            with pytest.raises(InUse, match="Quota exceeded"):
                racer.create_first("network", project_id=project)
        assert racer.first.quotas.all(ADMIN) == []
        with pytest.raises(NotFound, match="Quota for project p could not be found"):
            racer.first.quotas.delete(ADMIN, "p")
        put(racer, "p", network=-1)
        racer.create_first("network", project_id="p")


@pytest.mark.parametrize("before", [{}, {"port": 5}, {"network": 9}], ids=["no row", "another limit", "a higher one"])
def test_a_limit_that_comes_meanwhile_holds(racer: Racer, server: OvsdbServer, before: dict[str, int]) -> None:
    if before:
        put(racer, "p", **before)
    racer.meanwhile(lambda: racer.second.quotas.put(ADMIN, "p", {"network": 0}, force=False))
    with pytest.raises(InUse, match="Quota exceeded"):
        racer.create_first("network", project_id="p")
    assert server.rows("Network", "id") == []


def test_limits_that_go_meanwhile_do_not_hold(racer: Racer) -> None:
    put(racer, "p", network=1)
    racer.meanwhile(lambda: racer.second.quotas.delete(ADMIN, "p"))
    racer.create_first("network", project_id="p")
    racer.create_first("network", project_id="p")


def test_projects_without_limits_share_no_row(racer: Racer, server: OvsdbServer) -> None:
    """What one creates is no reason for another to be worked out again."""
    put(racer, "p", port=1)
    rows = server.rows("Quota", "_version", "project_id")
    for project in ("p", "q", ""):
        racer.create_first("network", project_id=project)
    assert server.rows("Quota", "_version", "project_id") == rows


def test_limits_of_both_are_kept(racer: Racer) -> None:
    """Of two that set limits at once, neither undoes the other's."""
    for kind in ("network", "subnet"):
        racer.first.quotas.put(ADMIN, "p", {kind: 3}, force=False)
        racer.second.quotas.put(ADMIN, "p", {"port": 4}, force=False)
    shown = racer.second.quotas.show(ADMIN, "p")
    assert {kind: shown[kind] for kind in ("network", "subnet", "port")} == {"network": 3, "subnet": 3, "port": 4}


def test_a_limit_below_what_is_used_has_to_be_forced(racer: Racer) -> None:
    racer.create_first("network", project_id="p")
    with pytest.raises(BadRequest, match="Quota limit 0 for network must be greater than or equal to already used 1"):
        racer.first.quotas.put(ADMIN, "p", {"port": 5, "network": 0}, force=False)
    assert racer.first.quotas.all(ADMIN) == []
    assert racer.first.quotas.put(ADMIN, "p", {"network": 0}, force=True)["network"] == 0


def test_who_may_see_and_set_them(racer: Racer) -> None:
    """A project's own are shown to all of it; administrators set them."""
    member, quotas = caller("u", "p", ["manager"]), racer.first.quotas
    assert quotas.show(member, "p") == quotas.defaults(member, "p") == NO_LIMITS
    assert quotas.details(member, "p")["port"]["used"] == 0
    for policy, attempt in (
        ("get_quota", lambda: quotas.show(member, "q")),
        ("get_quota", lambda: quotas.defaults(member, "q")),
        ("get_quota", lambda: quotas.details(member, "q")),
        ("get_quota", lambda: quotas.all(member)),
        ("update_quota", lambda: quotas.put(member, "p", {"port": -1}, force=True)),
        ("delete_quota", lambda: quotas.delete(member, "p")),
    ):
        with pytest.raises(Forbidden, match=f"^rule:{policy} is disallowed by policy$"):
            attempt()


def test_the_project_of_who_asks_counts(racer: Racer) -> None:
    """Where a request names none."""
    put(racer, "p", network=1)
    racer.create_first("network", caller("u", "p", ["member"]))
    with pytest.raises(InUse, match="Quota exceeded"):
        racer.create_first("network", caller("u", "p", ["member"]))


def test_documents_know_no_limits(server: OvsdbServer) -> None:
    """What the operator applies may be more than a limit allows, and counts."""
    with Racer(server.connection, {"network": 1, "subnet": -1, "port": -1}) as racer:
        document = parse_document({"networks": [{"name": "a"}, {"name": "b"}]})
        apply_document(server.connection, document, POLICY, prune=False, dry_run=False)
        used = wait_until(lambda: racer.first.quotas.details(ADMIN, "")["network"]["used"], 10, "they are seen")
        assert used == 2
        with pytest.raises(InUse, match="Quota exceeded"):
            racer.create_first("network")
        apply_document(server.connection, parse_document({"networks": []}), POLICY, prune=True, dry_run=False)
        wait_until(lambda: not racer.first.quotas.details(ADMIN, "")["network"]["used"], 10, "they are gone")
        racer.create_first("network")
