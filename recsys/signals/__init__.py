"""Signals: arrays in, one number per candidate out. They import no other signal."""
