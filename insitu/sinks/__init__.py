"""Sinks: what leaves the edge. Records as bluesky documents, by the policy, through the outbox to Kafka."""
