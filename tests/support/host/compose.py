"""The part of the Compose specification (compose-spec.io, 05-services.md and on) that docker-compose.yml uses.

A key that is not here is refused, so that one that Compose would only warn of, or not know, is not written by mistake.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Duration = Annotated[str, Field(pattern=r"^\d+(ms|s|m|h)$")]
Capability = Annotated[str, Field(pattern=r"^[A-Z_]+$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Build(_Strict):
    """How an image is built."""

    context: str
    target: str


class Healthcheck(_Strict):
    """When a container is healthy."""

    test: list[str]
    interval: Duration
    timeout: Duration
    retries: int
    start_period: Duration


class Dependency(_Strict):
    """What is waited for."""

    condition: Literal["service_started", "service_healthy", "service_completed_successfully"]


class Attachment(_Strict):
    """Of a service to a network."""

    ipv4_address: str


class _VolumeOptions(_Strict):
    nocopy: bool


class Mount(_Strict):
    """The long syntax of a volume."""

    type: Literal["volume", "bind"]
    source: str
    target: str
    volume: _VolumeOptions


class Service(_Strict):
    """One service."""

    image: str
    build: Build
    entrypoint: list[str] | None = None
    command: list[str] | None = None
    profiles: list[str] = []
    restart: Literal["no", "always", "on-failure", "unless-stopped"]
    healthcheck: Healthcheck | None = None
    depends_on: dict[str, Dependency] = {}
    environment: dict[str, str] = {}
    volumes: list[str | Mount] = []
    networks: dict[str, Attachment] = {}
    network_mode: Literal["host", "none", "bridge"] | None = None
    devices: list[str] = []
    tmpfs: list[str] = []
    user: str | None = None
    read_only: bool = False
    cap_add: list[Capability] = []
    cap_drop: list[Capability] = []
    security_opt: list[str] = []


class _Subnet(_Strict):
    subnet: str


class _Ipam(_Strict):
    config: list[_Subnet]


class Network(_Strict):
    """One network."""

    internal: bool = False
    ipam: _Ipam


class Compose(_Strict):
    """The file, without what begins with ``x-``."""

    services: dict[str, Service]
    networks: dict[str, Network]
    volumes: dict[str, None]
