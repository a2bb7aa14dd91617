"""The log on a cluster: Millpond brokers, Apache Kafka, or whoever else speaks its protocol.

    async with ClusterLog.open("kafka://localhost:9092") as log:
        ...

librdkafka speaks the protocol: transactions, retries, TLS, SASL. What it has no call for, or none that
can be relied on, is asked with our own codec: `direct.py`, `membership.py`. Nothing here is imported
unless a cluster is used.
"""
