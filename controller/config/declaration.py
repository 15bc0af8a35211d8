"""Declarations of options: fields of frozen dataclasses that carry all there is to say of an option.

One declaration, such as ::

    of_listen_port: int = option("6653", port_number, "TCP port of these connections")

in the class of a group is the attribute and its type, its default, the option of the configuration file
(:mod:`controller.config.option_reader`), the entry of the sample file and the row of the manual
(:mod:`controller.config.manual`).
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, TypeVar, cast

Value = TypeVar("Value")

_KEY = "declaration"


@dataclass(frozen=True)
class Declaration:
    """What an option is.

    :param default: as one would write it into a file; None: unset
    :param parse: text of a file → value; raises :class:`ValueError` with a text that says what is expected
    :param text: for who sets it, as Markdown in one line
    :param form: of a value, in a word or two, where no default shows it
    :param unset: makes the value of an option that is not set and has no default; None: ``parse`` does, out of nothing
    """

    default: str | None
    parse: Callable[[str], Any]
    text: str
    form: str = ""
    unset: Callable[[], Any] | None = None

    def initial(self) -> Any:
        """The value of an option that no file sets."""
        if self.default is None and self.unset is not None:
            return self.unset()
        return self.parse(self.default or "")


class Problem(NamedTuple):
    """An option whose value does not go with others.

    :param value: as written in the file, or a part of it
    :param expected: what would be right
    """

    name: str
    value: str
    expected: str


@dataclass(frozen=True)
class OptionGroup:
    """A group of the configuration file: its subclasses declare the options."""

    about: ClassVar[str] = ""
    """For who sets them, as Markdown in one line."""

    def problem(self) -> Problem | None:
        """What does not go together; None: all does."""
        return None


def option(
    default: str | None,
    parse: Callable[[str], Value],
    text: str,
    *,
    form: str = "",
    unset: Callable[[], Value] | None = None,
) -> Value:
    """A field that is an option; see :class:`Declaration`."""
    declared = Declaration(default, parse, text, form, unset)
    return cast(Value, dataclasses.field(default_factory=declared.initial, metadata={_KEY: declared}))


def groups_of(declaring: type[Any]) -> Mapping[str, type[OptionGroup]]:
    """The groups that a class has as fields, by name."""
    made: dict[str, Any] = {field.name: field.default_factory for field in dataclasses.fields(declaring)}
    return {name: of for name, of in made.items() if isinstance(of, type) and issubclass(of, OptionGroup)}


def options_of(declaring: type[Any]) -> Mapping[str, Declaration]:
    """The options that a class declares, by name: its own in their order, then those of its base classes."""
    inherited = {name for base in declaring.__mro__[1:] for name in inspect.get_annotations(base)}
    own_first = sorted(dataclasses.fields(declaring), key=lambda field: field.name in inherited)
    return {field.name: field.metadata[_KEY] for field in own_first if _KEY in field.metadata}
