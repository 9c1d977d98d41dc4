"""Outbound channels: queues, senders, deliveries."""
