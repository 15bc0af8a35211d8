"""Applies flow-mods of which the switch may refuse some, in as few bundles as its answers allow.

A message that the switch cannot read is left out of its bundle, and costs nothing. One that fails as it is applied
undoes the bundle, so that the rest has to be sent again without it. A full table would so cost a bundle for every flow
that does not fit; since no new flow fits where one did not, those after it in that table are not asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from controller.openflow.channel.request import BundleOutcome
from controller.openflow.wire.messages import TABLE_FULL

MakeMessage = Callable[[int], bytes]
"""Makes a message for an xid."""


@dataclass(frozen=True)
class FlowMod:
    """One change of a flow table.

    :param make: makes its message
    :param new_in: the table in which it takes the place of a flow that is not there yet; None: it takes no place
    """

    make: MakeMessage
    new_in: int | None = None


@dataclass
class Applied:
    """What became of flow-mods.

    :param refused: position of a refused flow-mod → the switch's error
    :param sent: flow-mods sent, in so many bundles
    """

    refused: dict[int, str] = field(default_factory=dict)
    bundles: int = 0
    sent: int = 0


def apply(commit: Callable[[Iterable[MakeMessage]], BundleOutcome], mods: Sequence[FlowMod]) -> Applied:
    """Apply flow-mods; those that the switch refuses are left out, all others are applied.

    :param commit: :meth:`controller.openflow.channel.session.Session.commit`
    :raises OpenFlowError: the connection ended
    """
    done = Applied()
    waiting = [list(range(len(mods)))] if mods else []
    while waiting:
        positions = waiting.pop()
        outcome = commit(mods[position].make for position in positions)
        done.bundles += 1
        done.sent += len(positions)
        named = {positions[index]: error for index, error in outcome.refused.items() if index is not None}
        done.refused.update(named)
        if outcome.applied:
            continue
        if named:
            done.refused.update(_do_not_fit(mods, positions, named))
            rest = [position for position in positions if position not in done.refused]
            waiting += [rest] if rest else []
        elif len(positions) == 1:
            done.refused[positions[0]] = outcome.refused.get(None, "refused without a reason")
        else:  # the switch does not say which one: halve until it is alone
            waiting += [positions[len(positions) // 2 :], positions[: len(positions) // 2]]
    return done


def _do_not_fit(mods: Sequence[FlowMod], positions: Sequence[int], named: dict[int, str]) -> dict[int, str]:
    """New flows that stand behind one for which their table had no room."""
    full: dict[int, str] = {}
    found = {}
    for position in positions:
        table = mods[position].new_in
        if table is None:
            continue
        error = named.get(position)
        if error == TABLE_FULL:
            full[table] = error
        elif error is None and table in full:
            found[position] = full[table]
    return found
