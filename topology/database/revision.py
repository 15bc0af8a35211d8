"""The one row of Topology: how often what should exist was changed, and in which database.

A database that is restored from a backup has a lower revision than its hosts have seen. Revisions alone would not do:
changes made after that let it catch up with what a host remembers that was away meanwhile. So the first host that
finds the content to be older replaces the row, whose UUID is the identity of the database.
"""

from __future__ import annotations

import uuid

from topology.ovsdb.edit import Edit

_TABLE = "Topology"


def begin(edit: Edit) -> None:
    """Make the row where there is none yet."""
    if not edit.rows(_TABLE):
        edit.insert(_TABLE, revision=0)


def advance(edit: Edit) -> None:
    """Count a change of what should exist; any number of them at once."""
    if edit.rows(_TABLE):
        edit.mutate(_TABLE, [], [["revision", "+=", 1]])
    else:
        edit.insert(_TABLE, revision=1)


def renew(edit: Edit, database: str) -> bool:
    """Give the database another identity, unless another host has done so.

    :param database: the identity that it had when its content was found to be older
    :returns: whether it still had that; the change is counted then
    """
    row = edit.rows(_TABLE).get(uuid.UUID(database))
    if row is None:
        return False
    edit.verify(row, "revision")
    edit.insert(_TABLE, revision=row.revision + 1)
    edit.delete(row)
    return True
