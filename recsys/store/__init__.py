"""The SQLite database of articles, clicks, impressions, editors' rules and runs.

`database.Store` is the entry: it opens the file, runs the transactions and answers all queries.
The other modules hold the SQL of one table or one concern each.
"""

from recsys.store.database import Store

__all__ = ["Store"]
