"""Schemas of databases: fetched from a server without blocking, and cut down to what a replica follows."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from ovs.db.idl import SchemaHelper
from ovs.jsonrpc import Message, Session
from ovs.poller import Poller

from topology.errors import TopologyError
from topology.ovsdb.following_idl import BACKOFF_MS
from topology.ovsdb.json_stream import use_fast_parser


class SchemaFetch:
    """Asks a server for a schema (RFC 7047 §4.1.2), re-connecting until there is an answer.

    :param connection: OVSDB connection method; several, comma-separated, are tried in turn
    """

    def __init__(self, connection: str, database: str) -> None:
        self._database = database
        self._session = Session.open_multiple([method.strip() for method in connection.split(",")])
        self._session.reconnect.set_backoff(*BACKOFF_MS)
        self._session_seqno: int | None = None
        self._request_id: object = None

    def run(self) -> Any:
        """Do what can be done now.

        :returns: the schema as JSON values, or None while it is not there yet
        """
        self._session.run()
        if not self._session.is_connected():
            return None
        if self._session.get_seqno() != self._session_seqno:
            self._session_seqno = self._session.get_seqno()
            request = Message.create_request("get_schema", [self._database])
            self._request_id = request.id
            self._session.send(request)
        use_fast_parser(self._session)
        message = self._session.recv()
        if message is None or message.id != self._request_id:
            return None
        if message.type == Message.T_REPLY:
            return message.result
        # The server does not have the database (yet): ask again after the session's back-off.
        self._session.force_reconnect()
        return None

    def wait(self, poller: Poller) -> None:
        """Make ``poller`` wake up when :meth:`run` has something to do."""
        self._session.wait(poller)
        self._session.recv_wait(poller)

    def close(self) -> None:
        """Close the connection."""
        self._session.close()


def restrict(helper: SchemaHelper, tables: Mapping[str, Collection[str]]) -> None:
    """Register what is to be followed.

    :param tables: table → columns; no columns means all
    :raises TopologyError: the schema lacks a table or column
    """
    known = helper.schema_json["tables"]
    for table, columns in tables.items():
        if table not in known:
            raise TopologyError(f"the schema has no table {table}")
        missing = sorted(set(columns) - set(known[table]["columns"]))
        if missing:
            raise TopologyError(f"table {table} of the schema has no column {', '.join(missing)}")
        if columns:
            helper.register_columns(table, list(columns))
        else:
            helper.register_table(table)


def without_lengths(schema: Any) -> Any:
    """A schema that bounds no text: the IDL drops one that is too long unsaid, and whoever reads the row can say it.

    :param schema: as JSON values; as is each part of it
    """
    if isinstance(schema, dict):
        return {key: without_lengths(value) for key, value in schema.items() if key != "maxLength"}
    return schema
