#!/bin/sh
# Plugs a port into an LXC container before its init runs, and unplugs it when the container has stopped:
# lxc.hook.start-host and lxc.hook.post-stop of lxc-container.conf, with lxc.hook.version = 1.
#
# usage: lxc-hook.sh PORT_ID
#
# The namespace gets the container's name for `ip netns`, by which it can be looked into while the container runs.
set -eu
exec 2>&1 # LXC logs standard output alone
port=$1
netns="lxc-$LXC_NAME"

case $LXC_HOOK_TYPE in
start-host)
    ip netns attach "$netns" "$LXC_PID"
    tunbridge plug "$port" --netns "$netns"
    ;;
post-stop)
    tunbridge unplug "$port"
    if [ -e "/run/netns/$netns" ]; then
        ip netns delete "$netns"
    fi
    ;;
esac
