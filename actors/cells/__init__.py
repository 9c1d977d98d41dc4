"""Load and congestion of radio cells."""
