"""The elements of a topology document, their keys and the form of each value.

An element remembers which keys were given (``model_fields_set``): a key that is left out keeps its value on an object
that exists already. The attributes that the Network API stores as they are given are keys too, each with the check that
a request meets: both are made from :mod:`topology.rules.attributes.attributes`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, create_model

from topology.model import NetworkType, canonical_cidr, canonical_ip, canonical_mac, canonical_uuid
from topology.rules.attributes.attributes import NETWORK, PORT, SUBNET, Resource

_MAX_TEXT = 255  # characters of a name, as in the Network API


def _checked(check: Callable[[str, str], str]) -> AfterValidator:
    """A validator from one of the model's checks, without the attribute that their texts begin with."""

    def validate(value: str) -> str:
        try:
            return check(value, "")
        except ValueError as error:
            raise ValueError(str(error).removeprefix(": ")) from None

    return AfterValidator(validate)


def _printable(value: str) -> str:
    if not value.isprintable():
        raise ValueError("has characters that cannot be printed")
    return value


def _not_empty(value: str) -> str:
    if not value:
        raise ValueError("must not be empty")
    return value


_Text = Annotated[str, Field(max_length=_MAX_TEXT), AfterValidator(_printable)]
_Name = Annotated[_Text, AfterValidator(_not_empty)]
_Uuid = Annotated[_Text, _checked(canonical_uuid)]
_Mac = Annotated[_Text, _checked(canonical_mac)]
_Ip = Annotated[_Text, _checked(canonical_ip)]
_Cidr = Annotated[_Text, _checked(canonical_cidr)]


class _Element(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, populate_by_name=False)

    def gives(self, field: str) -> bool:
        """True when the document has the key of this field."""
        return field in self.model_fields_set


class _Kept(_Element):
    """An element of a resource."""

    NAMES: ClassVar[dict[str, str]] = {}
    """Field → attribute that is stored as it is given."""

    @property
    def kept(self) -> dict[str, Any]:
        """Attributes that are stored as they are given, as far as the document has them."""
        return {self.NAMES[field]: getattr(self, field) for field in self.model_fields_set & self.NAMES.keys()}


_K = TypeVar("_K", bound=_Kept)


def _keeps(resource: Resource) -> Callable[[type[_K]], type[_K]]:
    """Give an element the attributes of a resource that are stored as they are given.

    ``tenant_id`` is the older name of ``project_id``.
    """
    keys = {name: one.check.read for name, one in resource.stored.items() if one.check is not None}
    names = {name.replace(":", "_"): name for name in keys} | {"tenant_id": "project_id"}

    def extend(element: type[_K]) -> type[_K]:
        fields: dict[str, Any] = {
            field: (
                Annotated[Any, AfterValidator(keys[name])],
                Field(default=None, alias=field if field == "tenant_id" else name),
            )
            for field, name in names.items()
        }
        made: type[_K] = create_model(element.__name__, __base__=element, __doc__=element.__doc__, **fields)
        made.NAMES = names
        return made

    return extend


class FixedIpSpec(_Element):
    """An element of ``fixed_ips``.

    :param subnet_id: None: the subnet of the network that contains the address
    """

    ip_address: _Ip
    subnet_id: _Uuid = ""


@_keeps(PORT)
class PortSpec(_Kept):
    """An element of ``ports``; see :class:`topology.model.Port`."""

    id: _Uuid = ""
    name: _Name = ""
    mac_address: _Mac = ""
    fixed_ips: Annotated[tuple[FixedIpSpec, ...], Field(strict=False)] = ()
    device_id: _Text = ""
    device_owner: _Text = ""
    requested_host: Annotated[_Name | None, Field(alias="binding:host_id")] = None
    admin_state_up: bool = True


@_keeps(SUBNET)
class SubnetSpec(_Kept):
    """An element of ``subnets``; see :class:`topology.model.Subnet`."""

    cidr: _Cidr
    id: _Uuid = ""
    name: _Name = ""
    gateway_ip: _Ip | None = None


@_keeps(NETWORK)
class NetworkSpec(_Kept):
    """An element of ``networks``; see :class:`topology.model.Network`."""

    id: _Uuid = ""
    name: _Name = ""
    network_type: Annotated[NetworkType | None, Field(alias="provider:network_type", strict=False)] = None
    segmentation_id: Annotated[int | None, Field(alias="provider:segmentation_id")] = None
    physical_network: Annotated[_Name | None, Field(alias="provider:physical_network")] = None
    admin_state_up: bool = True
    subnets: Annotated[tuple[SubnetSpec, ...], Field(strict=False)] = ()
    ports: Annotated[tuple[PortSpec, ...], Field(strict=False)] = ()


class Document(_Element):
    """A whole topology document."""

    networks: Annotated[tuple[NetworkSpec, ...], Field(strict=False)]
