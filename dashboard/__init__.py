"""The dashboard: pages over run folders, read only, for this machine only."""
