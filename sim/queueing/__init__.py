"""Queues: exact formulas, a compiled engine for high rates, and one station on SimPy."""
