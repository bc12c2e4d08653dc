"""The SQLite database of articles, clicks, impressions, rules and runs."""
