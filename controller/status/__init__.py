"""What is told of a running host: status, flows, drift, metrics, and the control socket that tells it."""
