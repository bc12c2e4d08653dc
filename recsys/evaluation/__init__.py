"""Evaluate the engine offline: back-tests with baselines, reports, and a search for settings."""
