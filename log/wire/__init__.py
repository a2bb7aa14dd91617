"""The Kafka protocol: messages as typed classes, and the bytes they travel as."""
