"""Declarations of options: fields of frozen dataclasses that carry all there is to say of an option.

One declaration, such as ::

    of_listen_port: int = option("6653", port_number, "port number", "TCP port of these connections")

in the class of a group is the attribute and its type, its default, the option of the configuration file
(:mod:`controller.config.option_reader`), the entry of the sample file (:mod:`controller.config.sample`) and the row of
the manual (:mod:`controller.config.manual`).
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar, cast

Value = TypeVar("Value")

_KEY = "declaration"


@dataclass(frozen=True)
class Declaration:
    """What an option is.

    :param default: as one would write it into a file; None: unset
    :param parse: text of a file → value; raises :class:`ValueError` with a text that says what is expected
    :param form: of a value, in a word or two
    :param text: for who sets it, as Markdown in one line
    :param unset: makes the value of an option that is not set and has no default; None: ``parse`` does, out of nothing
    """

    default: str | None
    parse: Callable[[str], Any]
    form: str
    text: str
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

    def problem(self) -> Problem | None:
        """What does not go together; None: all does."""
        return None


@dataclass(frozen=True)
class GroupDeclaration:
    """What a group is.

    :param of: the class that declares its options
    :param about: for who sets them, as paragraphs of Markdown before the table; may be empty
    """

    of: type[OptionGroup]
    about: str


def option(
    default: str | None,
    parse: Callable[[str], Value],
    form: str,
    text: str,
    *,
    unset: Callable[[], Value] | None = None,
) -> Value:
    """A field that is an option; see :class:`Declaration`."""
    declared = Declaration(default, parse, form, text, unset)
    return cast(Value, dataclasses.field(default_factory=declared.initial, metadata={_KEY: declared}))


Group = TypeVar("Group", bound=OptionGroup)


def group(of: type[Group], about: str = "") -> Group:
    """A field that is a group of options; see :class:`GroupDeclaration`."""
    return dataclasses.field(default_factory=of, metadata={_KEY: GroupDeclaration(of, about)})


def options_of(declaring: type[Any]) -> Mapping[str, Declaration]:
    """The options that a class declares, by name: its own in their order, then those of its base classes."""
    found = _declared(declaring, Declaration)
    own = [name for name in inspect.get_annotations(declaring) if name in found]
    inherited = {name for base in declaring.__mro__[1:] for name in inspect.get_annotations(base)}
    first = [name for name in own if name not in inherited]
    return {name: found[name] for name in [*first, *(name for name in found if name not in first)]}


def groups_of(declaring: type[Any]) -> Mapping[str, GroupDeclaration]:
    """The groups that a class declares, by name."""
    return _declared(declaring, GroupDeclaration)


Kind = TypeVar("Kind", Declaration, GroupDeclaration)


def _declared(declaring: type[Any], kind: type[Kind]) -> Mapping[str, Kind]:
    found = ((field.name, field.metadata.get(_KEY)) for field in dataclasses.fields(declaring))
    return {name: declared for name, declared in found if isinstance(declared, kind)}
