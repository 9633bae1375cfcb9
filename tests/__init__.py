"""Tests, by what they look at: see the folders."""
