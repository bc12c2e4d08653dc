"""Compiled loops: numpy arrays in, numpy arrays out; other threads go on meanwhile.

The C files beside are compiled when the package is installed (`hatch_build.py`). Everything is
checked on this side of the boundary, before a call: types and shapes of arrays, and every index,
count and number in them. No content of a run, of a rule or of an argument can make C read or write
outside an array.
"""
