"""Offline metrics: the functions of the night, asked about the past."""
