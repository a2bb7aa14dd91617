"""The only part of the log that touches files, clocks and threads."""
