"""Classic groups under many clients that come, go, dawdle and vanish, and a broker that restarts.

The model is what clients have been told, written down as it comes. It knows nothing of how the broker
goes about it, only what must hold:

- in one generation no partition is given to two members, and none is told two things;
- generations grow, as far as one broker's life goes;
- who was told of a later generation, fences those of earlier ones: their commits are refused;
- a JoinGroup, and a SyncGroup, is answered within the longest rebalance timeout;
- when all clients behave at last, the group comes to rest with all of them and all partitions.
"""

from dataclasses import dataclass, field, replace

from hypothesis import given, settings
from hypothesis import strategies as st
from millpond.log.coordinator.classic_group import ClassicGroup
from millpond.log.wire.error_codes import ErrorCode
from millpond.log.wire.messages.join_group import JoinGroupResponse
from millpond.log.wire.messages.sync_group import SyncGroupResponse
from millpond.tests.twins.group_world import GroupMember, GroupWorld, subscription
from millpond.tests.twins.node_world import Asked

PARTITIONS = 7
REBALANCE_MS = (3_000, 6_000)
SESSION_MS = 10_000
CLIENTS = 5
NUMBERS = st.integers(0, CLIENTS - 1)


@dataclass
class Client:
    """One client: a member, and the request that it waits for, with when it was sent."""

    number: int
    member: GroupMember
    joining: Asked[JoinGroupResponse] | None = None
    syncing: Asked[SyncGroupResponse] | None = None
    sent_ms: int = 0
    needs_join: bool = True
    synced: bool = False

    @property
    def waits(self) -> bool:
        return self.joining is not None or self.syncing is not None


@dataclass
class Told:
    """What the members of one generation were told."""

    owners: dict[int, str] = field(default_factory=dict)
    assignments: dict[str, bytes] = field(default_factory=dict)


class Life:
    """A group, its clients, and what they have been told."""

    def __init__(self, delay_ms: int, version: int) -> None:
        self.world = GroupWorld(group_initial_rebalance_delay_ms=str(delay_ms))
        self.world.create("a", PARTITIONS)
        self.version = version
        self.latest = 0
        self.wishes = 0
        self.told: dict[int, Told] = {}
        self.clients = [self.client(number) for number in range(CLIENTS)]

    def client(self, number: int) -> Client:
        """Make a client as it is after its process was started; two of them are static members."""
        instance = f"static-{number}" if number < 2 and self.version >= 5 else None
        member = self.world.member(
            instance=instance,
            session_ms=SESSION_MS,
            rebalance_ms=REBALANCE_MS[number % 2],
            protocols={"range": subscription("a")},
        )
        return Client(number, member)

    # -- what clients do -----------------------------------------------------------------------

    def join(self, number: int) -> None:
        client = self.clients[number]
        if not client.waits:
            client.joining = client.member.join(self.version)
            client.sent_ms = self.world.clock.ticks_ms
            self.hear(client)

    def sync(self, number: int) -> None:
        client = self.clients[number]
        if not client.waits and not client.needs_join:
            client.syncing = client.member.sync(self.assignment(client), min(self.version, 5))
            client.sent_ms = self.world.clock.ticks_ms
            self.hear(client)

    def heartbeat(self, number: int) -> None:
        client = self.clients[number]
        if not client.waits and client.member.generation >= 0:
            self.obey(client, client.member.heartbeat(min(self.version, 4)))

    def commit(self, number: int, offset: int) -> None:
        client = self.clients[number]
        if client.waits or client.member.generation < 0:
            return
        self.release_the_disk()
        error = client.member.commit("a", 0, offset, min(self.version, 8))
        if error is ErrorCode.NONE:
            assert client.member.generation >= self.latest, "a member of the past has committed"
            assert self.world.committed("readers", "a", 0) == offset
        else:
            self.obey(client, error)

    def leave(self, number: int) -> None:
        client = self.clients[number]
        if not client.waits and client.member.member_id:
            self.release_the_disk()
            client.member.leave(min(self.version, 5))
            self.clients[number] = self.client(number)

    def vanish(self, number: int) -> None:
        """Let the process of a client be killed; what it waits for is for nobody."""
        self.clients[number] = self.client(number)

    def wish_for_something_else(self, number: int) -> None:
        client = self.clients[number]
        self.wishes += 1
        client.member.protocols = {"range": subscription("a", f"b{self.wishes}")}
        client.needs_join = True

    def delay_requests(self, number: int) -> None:
        """Let requests of an earlier generation arrive only now."""
        client = self.clients[number]
        if client.waits or not client.synced or client.needs_join:
            return  # else the generation before may be the present one, after a restart
        self.release_the_disk()
        late = replace(client.member, generation=client.member.generation - 1)
        assert late.commit("a", 0, 0, min(self.version, 8)) is not ErrorCode.NONE
        assert late.heartbeat(min(self.version, 4)) is not ErrorCode.NONE
        refused = late.sync({}, min(self.version, 5)).response
        assert refused is not None
        assert refused.error_code != ErrorCode.NONE

    def carry_on(self, rounds: int, idle: frozenset[int]) -> None:
        """Let clients do what they should, but for some that do nothing meanwhile."""
        for _ in range(rounds):
            self.world.sleep(1_000)
            self.hear_all()
            for client in self.clients:
                if client.number not in idle:
                    self.behave(client)

    def behave(self, client: Client) -> None:
        self.heartbeat(client.number)
        if client.needs_join:
            self.join(client.number)
        if client.joining is None and not client.needs_join and not client.synced:
            self.sync(client.number)

    def hold_the_disk(self, number: int) -> None:
        """Let nothing become durable for a while, and one client begin a rebalance."""
        self.world.hold_syncs = True
        self.wish_for_something_else(number)

    def release_the_disk(self) -> None:
        self.world.hold_syncs = False
        self.world.sleep(0)
        self.hear_all()

    def sleep(self, ms: int) -> None:
        self.world.sleep(ms)
        self.hear_all()

    def restart(self, crash: bool) -> None:
        self.world.hold_syncs = False
        self.world.restart(crash=crash)
        self.latest = 0
        for client in self.clients:  # their connections are gone, and what they waited for
            client.joining = client.syncing = None
            if not client.synced:  # a generation that nobody was assigned anything in may be lost
                client.member.generation = -1
                client.needs_join = True

    # -- what clients are told -----------------------------------------------------------------

    def hear_all(self) -> None:
        """Take in all answers, those to SyncGroup first: who waits with one is behind the others."""
        for client in sorted(self.clients, key=lambda each: each.syncing is None):
            self.hear(client)

    def hear(self, client: Client) -> None:
        """Take in what has been answered."""
        if client.syncing is not None and client.syncing.response is not None:
            response, client.syncing = client.syncing.response, None
            self.on_synced(client, response)
        if client.joining is not None and client.joining.response is not None:
            asked, client.joining = client.joining, None
            self.on_joined(client, asked)

    def on_joined(self, client: Client, asked: Asked[JoinGroupResponse]) -> None:
        response = asked.response
        assert response is not None
        if response.error_code == ErrorCode.MEMBER_ID_REQUIRED:
            client.member.member_id = response.member_id
        elif response.error_code != ErrorCode.NONE:
            self.obey(client, ErrorCode(response.error_code))
        else:
            assert response.generation_id >= client.member.generation, "generations grow"
            self.latest = max(self.latest, response.generation_id)
            client.member.take(asked)
            client.needs_join = client.synced = False
            if client.member.leads and not response.skip_assignment:
                # Whatever a leader of this number was told before a crash came to nothing.
                told = self.told.get(response.generation_id)
                members = set(client.member.members)
                assert told is None or members.issuperset(told.assignments)

    def on_synced(self, client: Client, response: SyncGroupResponse) -> None:
        if response.error_code != ErrorCode.NONE:
            self.obey(client, ErrorCode(response.error_code))
            return
        client.synced = True
        assert client.member.generation >= self.latest, "a member of the past was given something"
        told = self.told.setdefault(client.member.generation, Told())
        who = client.member.instance or client.member.member_id
        before = told.assignments.setdefault(client.member.member_id, response.assignment)
        assert before == response.assignment, "the same question, another answer"
        for partition in response.assignment:
            owner = told.owners.setdefault(partition, who)
            assert owner == who, f"partition {partition} belongs to {owner} and to {who}"

    def obey(self, client: Client, error: ErrorCode) -> None:
        """Do as clients do when they are told of an error."""
        client.needs_join = client.needs_join or error is not ErrorCode.NONE
        if error in (ErrorCode.UNKNOWN_MEMBER_ID, ErrorCode.FENCED_INSTANCE_ID):
            client.member.member_id = ""
            client.member.generation = -1

    def assignment(self, client: Client) -> dict[str, bytes]:
        """Share out the partitions, if the client is to do so: each is one byte."""
        members = sorted(client.member.members) if client.member.leads else []
        return {
            member_id: bytes(range(PARTITIONS))[index :: len(members)]
            for index, member_id in enumerate(members)
        }

    # -- what must hold ------------------------------------------------------------------------

    def nobody_waits_too_long(self) -> None:
        for client in self.clients:
            if client.waits:
                waited_ms = self.world.clock.ticks_ms - client.sent_ms
                assert waited_ms <= max(REBALANCE_MS) or self.world.hold_syncs

    def settle(self) -> None:
        """Let all clients behave, and see the group come to rest."""
        self.release_the_disk()
        for _ in range(60):  # who vanished while it waited is a member until its session ends
            self.carry_on(1, frozenset())
            self.nobody_waits_too_long()
            if self.rests():
                return
        raise AssertionError("the group does not come to rest")

    def rests(self) -> bool:
        """Say whether all clients, and nobody else, have all partitions of one generation."""
        generations = {client.member.generation for client in self.clients}
        synced = all(client.synced and not client.needs_join for client in self.clients)
        if len(generations) > 1 or not synced:
            return False
        told = self.told[generations.pop()]
        members = {client.member.member_id for client in self.clients}
        group = self.world.node.groups.get("readers")
        assert isinstance(group, ClassicGroup)
        return (
            group.state_name == "Stable"
            and {member.member_id for member in group.members} == members
            and sorted(told.owners) == list(range(PARTITIONS))
            and members.issubset(told.assignments)
        )


def step(name: str, *arguments: st.SearchStrategy[object]) -> st.SearchStrategy[tuple[object, ...]]:
    return st.tuples(st.just(name), *arguments)


MOSTLY = step("carry_on", st.integers(1, 8), st.frozensets(NUMBERS, max_size=2))
STEPS = st.one_of(
    MOSTLY,
    MOSTLY,
    MOSTLY,
    step("join", NUMBERS),
    step("sync", NUMBERS),
    step("heartbeat", NUMBERS),
    step("commit", NUMBERS, st.integers(0, 9)),
    step("commit", NUMBERS, st.integers(0, 9)),
    step("leave", NUMBERS),
    step("vanish", NUMBERS),
    step("wish_for_something_else", NUMBERS),
    step("delay_requests", NUMBERS),
    step("hold_the_disk", NUMBERS),
    step("release_the_disk"),
    step("sleep", st.sampled_from([1, 100, 3_000, 3_999, 20_000])),
    step("restart", st.booleans()),
)


@settings(max_examples=60, deadline=None)
@given(
    delay_ms=st.sampled_from([0, 500, 3_000]),
    version=st.sampled_from([2, 5, 9]),
    story=st.lists(STEPS, min_size=20, max_size=60),
)
def test_members_agree_whatever_happens(
    delay_ms: int, version: int, story: list[tuple[str, ...]]
) -> None:
    life = Life(delay_ms, version)
    life.settle()
    for name, *arguments in story:
        getattr(life, name)(*arguments)
        life.hear_all()
        life.nobody_waits_too_long()
    life.settle()
