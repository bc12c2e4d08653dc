"""Outside formats into typed rows, one file a format.

A reader yields `Batch`es: columns under our names, values still as the file had
them. `validate.check` turns a batch into typed rows and rejects. Nothing here
writes to the store; `recsys.ingest.load_files` carries rows over.
"""
