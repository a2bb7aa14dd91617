"""The log on a cluster: Millpond brokers, Apache Kafka, or whoever else speaks its protocol.

    async with ClusterLog.open("kafka://localhost:9092") as log:
        ...

Workers' fetches, transactions, memberships and offsets go over connections of our own (`brokers.py`,
`connection.py`); topics, groups and plain producing through librdkafka. Nothing here is imported unless a
cluster is used.
"""
