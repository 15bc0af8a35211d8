"""What ovs-vswitchd is asked at its control socket, beside the database and OpenFlow."""
