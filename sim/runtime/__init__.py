"""Where roles run: hosts, the tick loop, runtimes, checkpoints."""
