"""What a request makes of the tags of an object."""

from __future__ import annotations

from collections.abc import Callable

from topology.rules.draft import Draft


def change_tags(draft: Draft, kind: str, object_id: str, change: Callable[[frozenset[str]], set[str]]) -> None:
    """Give an object other tags.

    :raises ResourceError: there is no such object, or it would have too many
    """
    view = draft.state.view(kind, object_id)
    tags = sorted(change(frozenset(view["tags"])))
    kept = draft.changed(kind, object_id, {"tags": tags}, None)
    if kind == "network":
        draft.networks[object_id] = draft.state.networks[object_id], kept
    elif kind == "subnet":
        network, subnet = draft.subnet(object_id)
        draft.subnets[object_id] = network.id, subnet, kept
    else:
        draft.ports[object_id] = draft.state.ports[object_id], kept
