"""The real-time marketing engine: live profile, triggers, decisions, measurement."""
