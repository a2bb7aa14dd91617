"""What an embedded log and a broker share: partitions, topics, coordinators, and their requests."""
