"""Stores, changelogs and restore."""
