"""What faults cost: collected by the tests that inject them, printed as one table when all have run."""

from __future__ import annotations

from dataclasses import dataclass

from tests.support.lab.probe import Result


@dataclass(frozen=True)
class Fault:
    """One fault and what it cost.

    :param result: of the probe that ran meanwhile
    :param full_sync: seconds until all was as desired again; None: nothing was otherwise
    """

    what: str
    result: Result
    full_sync: float | None = None


class FaultReport:
    """Collects :class:`Fault` by the order in which they happened."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def add(self, what: str, result: Result, full_sync: float | None = None) -> None:
        """Enter one; see :class:`Fault`."""
        self._faults.append(Fault(what, result, full_sync))

    def lines(self) -> list[str]:
        """The table, as Markdown; empty when there is nothing to say."""
        if not self._faults:
            return []
        lines = [
            "| fault | frames sent | lost | twice | longest gap | full sync |",
            "| --- | --- | --- | --- | --- | --- |",
        ]
        for fault in self._faults:
            result = fault.result
            sync = "–" if fault.full_sync is None else f"{fault.full_sync:.2f} s"
            lines.append(
                f"| {fault.what} | {result.expected:,} | {result.lost} | {result.duplicated} "
                f"| {result.longest_gap:.0f} ms | {sync} |"
            )
        return lines
