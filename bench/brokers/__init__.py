"""Brokers side by side: Millpond and Apache Kafka under the same clients, in the same run."""
