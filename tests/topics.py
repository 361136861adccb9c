"""What a broker says of a topic, and what lies in it."""

import time
from typing import Any


def make_topic(bootstrap: str, topic: str, settings: dict[str, str] | None = None) -> None:
    """A topic with one partition."""
    from kafka.admin import KafkaAdminClient, NewTopic

    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    admin.create_topics([NewTopic(topic, 1, 1, topic_configs=settings or {})])
    admin.close()


def allow(bootstrap: str, user: str, topic: str, *rights: str) -> None:
    """Grant a user rights on a topic: WRITE, DESCRIBE, READ."""
    from kafka.admin import ACL, ACLOperation, ACLPermissionType, KafkaAdminClient, ResourcePattern, ResourceType

    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    pattern = ResourcePattern(ResourceType.TOPIC, topic)
    granted = [ACL(f"User:{user}", "*", ACLOperation[r], ACLPermissionType.ALLOW, pattern) for r in rights]
    admin.create_acls(granted)
    admin.close()


def end_offset(bootstrap: str, topic: str) -> int:
    """How many messages the broker says the topic holds, over all partitions (0 where there is no such topic)."""
    consumer = _consumer(bootstrap)
    try:
        partitions = consumer.partitions_for_topic(topic)
        from kafka import TopicPartition

        places = [TopicPartition(topic, p) for p in sorted(partitions or ())]
        return sum(consumer.end_offsets(places).values()) if places else 0
    finally:
        consumer.close()


def messages(bootstrap: str, topic: str, wait_s: float = 30.0) -> list[Any]:
    """Every message that the topic holds now, in order within its partition."""
    from kafka import TopicPartition

    consumer = _consumer(bootstrap)
    try:
        places = [TopicPartition(topic, p) for p in sorted(consumer.partitions_for_topic(topic) or ())]
        if not places:
            return []
        ends = consumer.end_offsets(places)
        consumer.assign(places)
        consumer.seek_to_beginning(*places)
        found: list[Any] = []
        until = time.monotonic() + wait_s
        while any(consumer.position(p) < ends[p] for p in places):
            assert time.monotonic() < until, f"{len(found)} of {sum(ends.values())} messages read"
            for batch in consumer.poll(500).values():
                found.extend(batch)
        return found
    finally:
        consumer.close()


def _consumer(bootstrap: str) -> Any:
    from kafka import KafkaConsumer

    return KafkaConsumer(
        bootstrap_servers=bootstrap, enable_auto_commit=False, group_id=None, allow_auto_create_topics=False
    )
