"""Queueing cases: a file of exact numbers, and the verdict of each row."""
