#!/bin/sh
# Installs the Debian packages that are missing: Open vSwitch, what makes virtual environments for PYTHON, and what the
# lab makes its network namespaces and its traffic with.
#
# usage: install-packages.sh PYTHON
#
# It asks for what is used and not for package names, so that an Open vSwitch or a Python from elsewhere will do.
set -eu
python=$1

missing=""
for command in ovs-vswitchd ovsdb-server ovsdb-tool ovs-vsctl ovs-ofctl; do
    if ! command -v "$command" >/dev/null; then
        missing="openvswitch-switch"
    fi
done
for pair in ip=iproute2 ping=iputils-ping ethtool=ethtool iperf3=iperf3 setpriv=util-linux; do
    if ! command -v "${pair%=*}" >/dev/null; then
        missing="$missing ${pair#*=}"
    fi
done
# Debian's python3 has venv but not ensurepip, without which an environment comes without pip.
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    missing="$missing python3-venv"
fi
if [ -z "$missing" ]; then
    exit 0
fi

if ! command -v apt-get >/dev/null; then
    echo "missing: $missing (Debian's names), and there is no apt-get: install them and try again" >&2
    exit 1
fi
as_root=""
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "missing: $missing: become root or install sudo, and try again" >&2
        exit 1
    fi
    as_root="sudo"
fi
echo "installing: $missing"
$as_root apt-get update --quiet
# shellcheck disable=SC2086 # a list of package names
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install --quiet --yes --no-install-recommends $missing
