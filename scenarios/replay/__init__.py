"""Recorded events as input: mappings from files of others, two recordings that are shipped."""
