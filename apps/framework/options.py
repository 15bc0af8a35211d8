"""What an application lets an operator choose, as plain declarations.

The configuration makes an option of the file out of each, and hands the chosen values to
:attr:`apps.framework.host_view.HostView.options`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Union

OptionValue = Union[bool, int, str]


@dataclass(frozen=True)
class AppOption:
    """One option of an application.

    :param group: section of the configuration file; ``flows`` is good for what is an option of flows alone
    :param name: with underscores, as in the file
    :param default: the value where the file says nothing; of the type that ``kind`` names
    :param kind: what values there are
    :param help: one sentence for the sample file and the manual
    :param example: the value with which the pipeline page shows the application, where it is not the default
    :param parse: text of the file → value, where not each of the kind is one; raises :class:`ValueError` with a text
        that says what is expected
    """

    group: str
    name: str
    default: OptionValue
    kind: Literal["boolean", "integer", "string"]
    help: str
    example: OptionValue | None = None
    parse: Callable[[str], OptionValue] | None = None

    @property
    def key(self) -> str:
        """Its name among the options of all applications, e.g. ``flows.drop_lldp``."""
        return f"{self.group}.{self.name}"
