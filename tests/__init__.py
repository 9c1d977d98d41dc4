"""Tests by kind; `factories` builds the worlds that they use."""
