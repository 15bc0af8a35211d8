#!/bin/sh
# Three network namespaces on one network: made with OpenStack's client, plugged by Tunbridge.
#
# usage: namespaces.sh up|down
#
# As root, beside `tunbridge run`. One openstack process takes several commands from its standard input, since its start
# takes seconds; its status is 1 then, whatever became of them.
set -eu
export OS_CLOUD="${OS_CLOUD-tunbridge}"
export OS_CLIENT_CONFIG_FILE="${OS_CLIENT_CONFIG_FILE-$(dirname "$0")/clouds.yaml}"

create() {
    openstack <<END
network create demo_net1 --provider-network-type gre --provider-segment 2 -f value -c id
subnet create demo_sub1 --network demo_net1 --subnet-range 10.1.1.0/24 -f value -c id
port create gateway --network demo_net1 --mac-address fa:16:3e:2a:6e:1c --fixed-ip ip-address=10.1.1.1 -f value -c id
port create dhcp --network demo_net1 --mac-address fa:16:3e:b6:fc:21 --fixed-ip ip-address=10.1.1.12 -f value -c id
port create vm --network demo_net1 --mac-address fa:16:3e:02:dd:79 --fixed-ip ip-address=10.1.1.13 -f value -c id
END
}

case ${1-} in
up)
    ids=$(create) || true
    # shellcheck disable=SC2086 # ids have no spaces
    set -- $ids
    if [ $# -ne 5 ]; then
        echo "$0: not all of it could be made; \`$0 down\` removes what there is" >&2
        exit 1
    fi
    shift 2
    for name in gateway dhcp vm; do
        tunbridge plug "$1" --netns "demo-$name"
        shift
    done
    ip netns exec demo-vm ping -c 3 -i 0.2 10.1.1.12
    openstack port list --network demo_net1 --sort-column Name
    ;;
down)
    ports=$(
        openstack <<END
port list --network demo_net1 -f value -c ID
port delete gateway dhcp vm
network delete demo_net1
END
    ) || true
    for port in $ports; do
        tunbridge unplug "$port"
    done
    ;;
*)
    echo "usage: $0 up|down" >&2
    exit 2
    ;;
esac
