"""Columns, draws, kernels, messages, partitions: what everything else stands on."""
