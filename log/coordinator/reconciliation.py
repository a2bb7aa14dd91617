"""How a member gets from what it has to what it is to have: it gives up first, and is given then.

    STABLE ──────────────── a new target ───────────────┐
      ▲                                                 ▼
      │ nothing to give up, all is free      has it partitions to give up?
      │                                        │ yes               │ no
      │                                        ▼                   ▼
      │                              UNREVOKED_PARTITIONS ──► is something not free yet?
      │                               it says that it did         │ yes
      └───── the last one has become free ◄── UNRELEASED_PARTITIONS

While it has to give up it stays in its epoch, so it can still commit what it has processed. As soon
as it says that it gave up, it gets the epoch of the target and all that is free; the rest follows
when others give it up, without anybody waiting for everybody.

Source: KIP-848, "Member Epoch" and "Assignment Process"; checked against Kafka 4.1.
"""

from collections.abc import Callable

from .assignors import Partitions, TopicIdPartition
from .consumer_group_member import NO_PARTITIONS, CurrentAssignment, MemberState


def reconcile(
    current: CurrentAssignment,
    target: Partitions,
    assignment_epoch: int,
    owned: Partitions | None,
    is_free: Callable[[TopicIdPartition], bool],
) -> CurrentAssignment:
    """Take a member as far towards its target as others and its own word allow.

    Args:
        current: what it has.
        target: what it is to have.
        assignment_epoch: the epoch of the target assignment.
        owned: what it says it has; None: it does not say.
        is_free: whether no other member has a partition.
    """
    match current.state:
        case MemberState.STABLE if current.member_epoch == assignment_epoch:
            return current
        case MemberState.UNREVOKED_PARTITIONS:
            if owned is None or owned & current.revoking:
                return current
            member_epoch = current.member_epoch + 1
        case _:
            member_epoch = current.member_epoch
    kept = current.assigned & target
    revoking = current.assigned - target
    if revoking and (owned is None or owned & revoking):
        return CurrentAssignment(
            member_epoch=member_epoch,
            previous_member_epoch=current.member_epoch,
            state=MemberState.UNREVOKED_PARTITIONS,
            assigned=kept,
            revoking=revoking,
        )
    missing = target - kept
    given = frozenset(partition for partition in missing if is_free(partition))
    state = MemberState.STABLE if len(given) == len(missing) else MemberState.UNRELEASED_PARTITIONS
    reached = CurrentAssignment(
        member_epoch=assignment_epoch,
        previous_member_epoch=current.member_epoch,
        state=state,
        assigned=kept | given,
        revoking=NO_PARTITIONS,
    )
    waits_as_before = (
        state is current.state
        and assignment_epoch == current.member_epoch
        and reached.assigned == current.assigned
    )
    return current if waits_as_before else reached
