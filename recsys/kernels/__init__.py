"""Compiled loops: numpy arrays in, numpy arrays out; the interpreter goes on meanwhile.

The C beside is compiled when the package is installed (`hatch_build.py`). Types and shapes are
checked here, for a wrong array would be read beyond its end; what stands in an array is not.
"""
