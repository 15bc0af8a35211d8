"""ovsdb-server as a child process: the embedded topology database."""
