"""What a partition is on disk: segments, indexes, producer state, recovery, retention, compaction."""
