"""Apps, agents, topics, tables, windows, tasks and workers."""
