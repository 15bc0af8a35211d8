"""Reading columns of rows without the detours of the Python IDL."""

from __future__ import annotations

from typing import Any


def read(row: Any, column: str) -> Any:
    """What ``row.column`` is.

    The IDL converts a set or a map three times, for changes that the transaction under way may have made to it; most
    rows that are read have none.
    """
    if row._changes or row._mutations or row._data is None or column not in row._data:
        return getattr(row, column)
    return row._data[column].to_python(row._uuid_to_row)
