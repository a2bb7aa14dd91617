"""The replicated log: storage, coordinators, and the interface through which streams see it."""
