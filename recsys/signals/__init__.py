"""Compute signals: arrays in, one number for each candidate article out.

No signal imports another one. `timeline` and `event_counts` count clicks and impressions, for the
signals that need counts as of an instant.
"""
