"""Signals: arrays in, scores out. Never the store, never each other."""
