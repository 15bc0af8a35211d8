"""Somebody who makes and deletes ports all the while, and remembers what each answer has promised."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from tests.support.http.api_process import Client

CONFIRMED, NOT_DONE, PERHAPS = 201, 503, 504
"""What an API may answer: done; not done; nobody knows, as the connection was lost before the answer."""


class PortCreator:
    """Makes ports, one after the other, and deletes every third again, in a thread of its own.

    :param name: that the names of its ports begin with
    :param body: attributes of each port
    :param use: what is done with each that was made, before the next
    :param inside: where its requests come from
    """

    def __init__(
        self,
        api: Client,
        network: str,
        name: str,
        *,
        body: Mapping[str, object] | None = None,
        use: Callable[[dict[str, Any]], None] | None = None,
        inside: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._api, self._body, self._name = api, {"network_id": network, **(body or {})}, name
        self._use, self._inside = use, inside
        self.made: dict[str, str] = {}
        self.perhaps: set[str] = set()
        self.deleted: set[str] = set()
        self.refused = 0
        self.done: list[tuple[float, float]] = []
        """Of each port, when it was asked for and when it was made and used, in seconds of time.monotonic()."""
        self.unforeseen: list[object] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def end(self) -> None:
        """Stop, when the port under way is done."""
        self._ended.set()
        self._thread.join()

    def done_since(self, moment: float) -> float | None:
        """When the first port was done that was asked for after a moment."""
        return next((done for asked, done in self.done if asked > moment), None)

    def _run(self) -> None:
        number = 0
        try:
            with self._inside():
                while not self._ended.is_set():
                    number += 1
                    self._make(f"{self._name}{number}", to_stay=number % 3 != 0)
        except BaseException as error:
            self.unforeseen.append(error)

    def _make(self, name: str, *, to_stay: bool) -> None:
        asked = time.monotonic()
        answer = self._api.request("POST", "/v2.0/ports", {"port": {**self._body, "name": name}})
        if answer.status == CONFIRMED:
            self.made[name] = answer.json["port"]["id"]
            if self._use is not None:
                self._use(answer.json["port"])
            self.done.append((asked, time.monotonic()))
            if not to_stay:
                self._delete(name)
        elif answer.status == PERHAPS:
            self.perhaps.add(name)
        elif answer.status == NOT_DONE:
            self.refused += 1
            self._ended.wait(0.05)
        else:
            self.unforeseen.append((answer.status, answer.json))

    def _delete(self, name: str) -> None:
        status = self._api.request("DELETE", f"/v2.0/ports/{self.made[name]}").status
        if status == 204:
            self.deleted.add(name)
        elif status == PERHAPS:
            self.perhaps.add(name)


def told(creators: Sequence[PortCreator]) -> str:
    """What they did, in words."""
    made = sum(len(creator.made) for creator in creators)
    perhaps = sum(len(creator.perhaps) for creator in creators)
    return f"{made} made, {perhaps} perhaps, {sum(creator.refused for creator in creators)} refused"


def check_answers(creators: Sequence[PortCreator], rows: Sequence[Mapping[str, Any]]) -> None:
    """What was acknowledged is there, once, with an id and addresses of its own, and nothing else is.

    :param rows: of the table Port: all that can be theirs
    :raises AssertionError: it is not so
    """
    assert not [unforeseen for creator in creators for unforeseen in creator.unforeseen]
    there = Counter(row["name"] for row in rows)
    assert max(there.values()) == 1
    for creator in creators:
        known = creator.made.keys() - creator.perhaps
        assert known - creator.deleted <= there.keys()
        assert not (creator.deleted & there.keys())
    allowed = {name for creator in creators for name in creator.made.keys() | creator.perhaps}
    assert there.keys() <= allowed
    for column in ("id", "mac_address", "fixed_ips"):
        assert max(Counter(str(row[column]) for row in rows).values()) == 1
    ids = [port for creator in creators for port in creator.made.values()]
    assert len(ids) == len(set(ids)), "an id was given twice"
