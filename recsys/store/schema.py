"""The SQLite schema of the store, version by version."""

# One entry a schema version; entry i brings version i to version i + 1.
MIGRATIONS = (
    """
    CREATE TABLE users (
        user_key INTEGER PRIMARY KEY,
        user_id TEXT NOT NULL UNIQUE
    ) STRICT;
    CREATE TABLE article_ids (
        article_key INTEGER PRIMARY KEY,
        article_id TEXT NOT NULL UNIQUE
    ) STRICT;
    CREATE TABLE articles (
        article_key INTEGER PRIMARY KEY REFERENCES article_ids,
        title TEXT NOT NULL,
        body TEXT NOT NULL,
        category TEXT NOT NULL,
        author TEXT NOT NULL,
        url TEXT NOT NULL,
        language TEXT NOT NULL,
        published_at INTEGER,              -- ms since 1970, UTC, as all instants here
        expires_at INTEGER,
        text_digest TEXT NOT NULL,
        added_at INTEGER NOT NULL,
        updated_at INTEGER NOT NULL,
        revision INTEGER NOT NULL DEFAULT 1
    ) STRICT;
    -- Clustered by time: nights and refreshes read a window, logs arrive in order.
    CREATE TABLE clicks (
        clicked_at INTEGER NOT NULL,
        user_key INTEGER NOT NULL REFERENCES users,
        article_key INTEGER NOT NULL REFERENCES article_ids,
        dwell_seconds REAL,
        source TEXT,
        time_is_bound INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (clicked_at, user_key, article_key)
    ) STRICT, WITHOUT ROWID;
    -- A click whose time is only a bound is one fact, whatever log repeats it.
    CREATE UNIQUE INDEX clicks_bound ON clicks (user_key, article_key) WHERE time_is_bound = 1;
    CREATE TABLE impressions (
        shown_at INTEGER NOT NULL,
        user_key INTEGER NOT NULL REFERENCES users,
        shown BLOB NOT NULL,               -- article keys in position order, int64 little endian
        clicked BLOB NOT NULL,             -- one byte an article of `shown`: 1 if clicked
        clicked_at INTEGER,
        context_key INTEGER REFERENCES article_ids,
        source TEXT NOT NULL,
        PRIMARY KEY (shown_at, user_key, shown)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE rejected_rows (
        file TEXT NOT NULL,
        row INTEGER NOT NULL,
        field TEXT NOT NULL,
        reason TEXT NOT NULL,
        raw TEXT NOT NULL,
        rejected_at INTEGER NOT NULL,
        PRIMARY KEY (file, row, field, reason)
    ) STRICT;
    CREATE TABLE text_vectors (
        article_key INTEGER PRIMARY KEY REFERENCES article_ids,
        text_digest TEXT NOT NULL,         -- of the text and of the settings that made it
        terms BLOB NOT NULL,               -- hashed term numbers, int32 little endian
        counts BLOB NOT NULL               -- weighted term counts, float32 little endian
    ) STRICT;
    CREATE TABLE runs (
        run_id TEXT PRIMARY KEY,
        kind TEXT NOT NULL,
        as_of TEXT NOT NULL,
        status TEXT NOT NULL,              -- published, held back, failed
        report TEXT NOT NULL               -- JSON, see recsys.nightly.run_report.RunReport
    ) STRICT;
    """,
    "ALTER TABLE impressions ADD COLUMN propensities BLOB",  # float64, one an article; NULL: all 1
    """
    -- The clicks of each hour as columns, for readers of millions; see recsys.store.packed_hours.
    -- `packed` is NULL where clicks came since; what a click is stands in `clicks` alone.
    CREATE TABLE click_hours (
        hour INTEGER PRIMARY KEY,          -- whole hours since 1970, UTC
        packed BLOB
    ) STRICT;
    INSERT INTO click_hours SELECT DISTINCT clicked_at / 3600000, NULL FROM clicks;
    """,
    """
    ALTER TABLE articles ADD COLUMN tags TEXT NOT NULL DEFAULT '';
    -- Editors' rules: a change adds a version, nothing is ever overwritten.
    CREATE TABLE rules (
        rule_id TEXT NOT NULL,
        version INTEGER NOT NULL,
        change TEXT NOT NULL,              -- added, ended, imported
        rule TEXT NOT NULL,                -- JSON, see recsys.page.rules.Rule
        changed_by TEXT NOT NULL,
        reason TEXT NOT NULL,
        changed_at INTEGER NOT NULL,
        PRIMARY KEY (rule_id, version)
    ) STRICT;
    """,
    """
    -- What past days taught, see recsys.learn.examples; dropped when older rows come.
    CREATE TABLE examples (
        until_ms INTEGER NOT NULL,         -- the end of the day
        what TEXT NOT NULL,                -- the head, the day's beginning, the settings
        packed BLOB NOT NULL,
        PRIMARY KEY (until_ms, what)
    ) STRICT;
    """,
    """
    -- How this store is kept: 'hashed_with', the fingerprint of the key of readers' ids.
    CREATE TABLE settings (
        name TEXT PRIMARY KEY,
        value TEXT NOT NULL
    ) STRICT;
    """,
)
