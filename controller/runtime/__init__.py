"""What every long-running part needs: workers, pauses, deadlines, logs, TLS on sockets, metrics as text."""
