"""Read files of outside formats, check their rows, and load them into the store.

There is one module for each format. Its function `read` yields `Batch`es: columns under our names,
with values as the file had them. `validate.check` turns a batch into typed rows and rejects, and
`load_files` adds these to the store.
"""
