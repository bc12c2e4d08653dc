"""Signals into scores: a linear form that finds articles, curves that order them."""
