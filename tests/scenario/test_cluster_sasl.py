"""Apache Kafka lets in whoever knows the password: librdkafka's connections and our own."""

from pathlib import Path

import anyio.to_thread
import pytest
from millpond.log.cluster.address import parse_address
from millpond.log.cluster.cluster_log import ClusterLog
from millpond.log.cluster.committed import CommittedOffsets
from millpond.log.cluster.direct import Direct
from millpond.log.cluster.group_requests import Member
from millpond.log.cluster.membership import membership
from millpond.log.cluster.sasl import MECHANISMS
from millpond.log.errors import NotAuthorized
from millpond.log.model import TopicPartition, TopicSpec
from millpond.tests.clients.brokers import apache_kafka
from millpond.tests.clients.java_runtime import JARS, needs_jars

pytestmark = [pytest.mark.anyio, pytest.mark.clients, needs_jars()]

ORDERS = TopicPartition("orders", 0)
SCRAM = [mechanism for mechanism in MECHANISMS if mechanism.startswith("SCRAM")]

LOGIN = "org.apache.kafka.common.security"
KAFKA = {
    "listener.security.protocol.map": "PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
    "inter.broker.listener.name": "PLAINTEXT",
    "sasl.enabled.mechanisms": ",".join(MECHANISMS),
    "sasl.mechanism.inter.broker.protocol": "PLAIN",
    "listener.name.plaintext.plain.sasl.jaas.config": f"{LOGIN}.plain.PlainLoginModule required "
    'username="kafka" password="own" user_kafka="own" user_alice="secret";',
    **{
        f"listener.name.plaintext.{mechanism.lower()}.sasl.jaas.config": (
            f"{LOGIN}.scram.ScramLoginModule required;"
        )
        for mechanism in SCRAM
    },
}
USERS = [part for each in SCRAM for part in ("--add-scram", f"{each}=[name=alice,password=secret]")]


async def test_whoever_knows_the_password_is_let_in(tmp_path: Path) -> None:
    with apache_kafka(tmp_path / "kafka", JARS, settings=KAFKA, format_options=USERS) as kafka:
        url = f"kafka://{kafka.address}"
        async with ClusterLog.open(url, settings=alice("PLAIN", "secret")) as log:
            await log.create_topics([TopicSpec(ORDERS.topic, 1)])
        for mechanism in MECHANISMS:
            await let_in(url, mechanism)
            await refused(url, mechanism)


async def let_in(url: str, mechanism: str) -> None:
    async with (
        ClusterLog.open(url, settings=alice(mechanism, "secret")) as log,
        log.membership(mechanism, lambda told: told) as member,
    ):
        assert await log.committed_offsets("group", [ORDERS]) == {}
        assert await member.join(b"numbers") == b"numbers"


async def refused(url: str, mechanism: str) -> None:
    address = parse_address(url, alice(mechanism, "guessed"), 10)
    groups = CommittedOffsets(Direct(address))
    with pytest.raises(NotAuthorized, match=f"{mechanism} as 'alice'"):
        await anyio.to_thread.run_sync(groups.of, ["group"], [ORDERS])
    someone = Member(mechanism, None, session_timeout_ms=6000, rebalance_timeout_ms=6000)
    async with membership(address, someone, lambda told: told) as member:
        with pytest.raises(NotAuthorized, match=f"{mechanism} as 'alice'"):
            await member.join(b"numbers")


def alice(mechanism: str, password: str) -> dict[str, str]:
    return {
        "security.protocol": "sasl_plaintext",
        "sasl.mechanism": mechanism,
        "sasl.username": "alice",
        "sasl.password": password,
    }
