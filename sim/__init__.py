"""The engine that knows nothing of operators: core, runtimes, control, record."""
