"""What a Prometheus server can read of a process; each metric is described in docs/metrics.md."""
