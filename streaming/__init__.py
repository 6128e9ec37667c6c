"""Feedback through Kafka: consumer, producer, dead letters, embedded broker."""
