"""The command line: arguments in, one call, an exit status out."""
