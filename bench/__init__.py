"""Every claim of speed, as a command: `make bench`, or `python -m bench --only stateless`."""
