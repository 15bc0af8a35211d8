# The controller as a container; beside it a simulated hypervisor and the check of docker-compose.yml (docs/containers.md).
#
# Package indexes are those of the builder: pip's variables below as build arguments, or wheels in a directory
# `wheelhouse` of the build context, which pip then finds first; apt's are in the base image.

ARG BASE_IMAGE=debian:bookworm-slim

FROM ${BASE_IMAGE} AS build
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_TRUSTED_HOST
ARG PIP_NO_INDEX
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3-venv \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* \
    && python3 -m venv /opt/tunbridge
WORKDIR /src
# The second source may be absent: one that matches nothing is no error beside one that does.
COPY constraints.txt wheelhouse* wheelhouse/
ARG PIP_FIND_LINKS=/src/wheelhouse
COPY pyproject.toml README.md ./
COPY topology topology
COPY apps apps
COPY controller controller
# What goes again, half of it: what os-ken has for OF-Config, its former web server and its BGP speaker, rich for source
# code and oslo.config for files at addresses; the names of the vendors of network cards; tests, and what they need; what
# installs.
RUN /opt/tunbridge/bin/pip install --no-cache-dir --disable-pip-version-check --constraint wheelhouse/constraints.txt . \
    && /opt/tunbridge/bin/pip uninstall --yes --quiet \
        ncclient paramiko lxml cryptography bcrypt PyNaCl invoke cffi pycparser Pygments \
        Routes repoze.lru WebOb fixtures msgpack requests charset-normalizer certifi setuptools pip \
    && rm /opt/tunbridge/lib/python3*/site-packages/netaddr/eui/*.txt \
    && find /opt/tunbridge -depth -type d -name tests -exec rm -r {} + \
    && /opt/tunbridge/bin/tunbridge --version

# A host as an operator leaves it to a controller, on the userspace datapath, with a network namespace as its VM.
FROM ${BASE_IMAGE} AS host
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ethtool iproute2 iputils-ping openvswitch-switch python3 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /etc/openvswitch/conf.db \
    && groupadd --gid 6653 tunbridge \
    && install -d -o root -g tunbridge -m 2770 /run/openvswitch /run/vm
COPY scripts/__init__.py scripts/private_ovs.py scripts/processes.py /opt/host/scripts/
COPY containers/__init__.py containers/console.py containers/hypervisor.py containers/vm.py /opt/host/containers/
WORKDIR /opt/host
LABEL org.opencontainers.image.title="Tunbridge: a simulated hypervisor" \
      org.opencontainers.image.licenses="Apache-2.0"
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=10s --start-period=30s \
    CMD ["python3", "-m", "containers.console", "/run/vm/console.sock", "true"]
# Open vSwitch moves frames between network devices, and the VM is a network namespace: both take root.
# hadolint ignore=DL3002
USER 0
ENTRYPOINT ["python3", "-m", "containers.hypervisor"]

FROM ${BASE_IMAGE} AS runtime
# openvswitch-common has ovsdb-server and ovsdb-tool, for the topology database.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends openvswitch-common python3 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* \
    && groupadd --gid 6653 tunbridge \
    && useradd --uid 6653 --gid tunbridge --home-dir /var/lib/tunbridge --no-create-home --shell /usr/sbin/nologin tunbridge \
    && install -d -o tunbridge -g tunbridge -m 0700 /run/tunbridge /var/lib/tunbridge
COPY --from=build /opt/tunbridge /opt/tunbridge
ENV PATH=/opt/tunbridge/bin:$PATH
ARG VERSION=0.1.0
ARG REVISION=""
LABEL org.opencontainers.image.title="Tunbridge" \
      org.opencontainers.image.description="Native OpenFlow 1.3 controller for Open vSwitch hosts" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=20s --start-period=60s CMD ["tunbridge", "status"]
USER 6653
ENTRYPOINT ["tunbridge"]

# Applies the demo and lets the VMs ping each other.
FROM runtime AS check
COPY examples/demo.yaml /opt/check/examples/demo.yaml
COPY containers/__init__.py containers/check.py containers/console.py /opt/check/containers/
WORKDIR /opt/check
HEALTHCHECK NONE
ENTRYPOINT ["python3", "-m", "containers.check"]

# The last one is what `docker build .` makes.
FROM runtime AS tunbridge
CMD ["run"]
