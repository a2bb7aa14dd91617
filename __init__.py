"""Millpond: stream processing that carries its own log."""
