"""Define the SQLite schema of the store, and upgrade a store to its latest version."""

import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from recsys.errors import StoreError

# Of a view, SQL expressions for an instant in ms as text, and for the number of a byte of a blob.
_INSTANT = "strftime('%Y-%m-%dT%H:%M:%fZ', {} / 1000.0, 'unixepoch')"
_DIGIT = "(instr('123456789ABCDEF', substr(hex(i.shown), {}, 1)))"
# The key of the n-th article of an impression: four bytes, the lowest first, two hex digits each.
_NTH_KEY = " + ".join(
    f"({_DIGIT.format(f'16 * n - {15 - 2 * byte}')} * 16"
    f" + {_DIGIT.format(f'16 * n - {14 - 2 * byte}')}) * {256**byte}"
    for byte in range(4)
)
_USER = "iif(substr(u.user_id, 1, 1) = ' ', NULL, u.user_id) AS user_id"
_SESSION = (
    "iif(substr(u.user_id, 1, 1) = ' ', nullif(substr(u.user_id, 2), ''), NULL) AS session_id"
)

# Statement group i brings a store of schema version i to version i + 1. Stores keep the text of
# CREATE statements, comments within them included, so these never change.
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
    -- Clustered by time: runs read a window of time, and logs arrive in order of time.
    CREATE TABLE clicks (
        clicked_at INTEGER NOT NULL,
        user_key INTEGER NOT NULL REFERENCES users,
        article_key INTEGER NOT NULL REFERENCES article_ids,
        dwell_seconds REAL,
        source TEXT,
        time_is_bound INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (clicked_at, user_key, article_key)
    ) STRICT, WITHOUT ROWID;
    -- A user has at most one click on an article whose time is only a bound, however many logs
    -- repeat it.
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
    -- A cache: the clicks of each hour packed as columns, see recsys.store.packed_hours. `packed`
    -- is NULL if clicks were added to the hour since. The table `clicks` is the source.
    CREATE TABLE click_hours (
        hour INTEGER PRIMARY KEY,          -- whole hours since 1970, UTC
        packed BLOB
    ) STRICT;
    INSERT INTO click_hours SELECT DISTINCT clicked_at / 3600000, NULL FROM clicks;
    """,
    """
    ALTER TABLE articles ADD COLUMN tags TEXT NOT NULL DEFAULT '';
    -- Editors' rules: every change adds a version, and no version is ever overwritten.
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
    -- Training examples of past days, see recsys.learn.examples; dropped when earlier rows change.
    CREATE TABLE examples (
        until_ms INTEGER NOT NULL,         -- the end of the day
        what TEXT NOT NULL,                -- the head, the day's beginning, the settings
        packed BLOB NOT NULL,
        PRIMARY KEY (until_ms, what)
    ) STRICT;
    """,
    """
    -- Properties of the store: 'hashed_with' is the fingerprint of the key that hashes user ids.
    CREATE TABLE settings (
        name TEXT PRIMARY KEY,
        value TEXT NOT NULL
    ) STRICT;
    """,
    """
    ALTER TABLE articles ADD COLUMN premium INTEGER;
    """,
    """
    ALTER TABLE articles ADD COLUMN image_url TEXT NOT NULL DEFAULT '';
    ALTER TABLE articles ADD COLUMN summary TEXT NOT NULL DEFAULT '';
    ALTER TABLE articles ADD COLUMN kicker TEXT NOT NULL DEFAULT '';
    ALTER TABLE articles ADD COLUMN importance REAL;
    ALTER TABLE articles ADD COLUMN modified_at INTEGER;
    ALTER TABLE articles ADD COLUMN withdrawn_at INTEGER;
    ALTER TABLE articles ADD COLUMN reading_minutes REAL NOT NULL DEFAULT 0;
    -- Tags are one a line, because a tag may have a comma.
    UPDATE articles SET tags = replace(replace(tags, ', ', ','), ',', char(10));
    -- JSON: the version (instant in ms) of each field that was given; see recsys.store.articles.
    ALTER TABLE articles ADD COLUMN versions TEXT NOT NULL DEFAULT '{}';
    CREATE TABLE article_vectors (
        article_key INTEGER PRIMARY KEY REFERENCES article_ids,
        vector BLOB NOT NULL               -- float32 little endian, of one length in a store
    ) STRICT;
    -- Files of articles that were read to their end: read again unchanged, they change nothing.
    CREATE TABLE read_files (
        file TEXT PRIMARY KEY,
        digest TEXT NOT NULL
    ) STRICT;
    """,
    """
    ALTER TABLE impressions ADD COLUMN dwell_seconds REAL;
    ALTER TABLE impressions ADD COLUMN site TEXT;
    ALTER TABLE impressions ADD COLUMN variant TEXT;
    -- Bits: 1 the click itself, 2 its reading time, 4 its source came from a log of clicks. What
    -- is derived from impressions follows them when they change.
    ALTER TABLE clicks ADD COLUMN from_log INTEGER NOT NULL DEFAULT 7;
    -- Finds the impressions from which a click was derived.
    CREATE INDEX impressions_clicked ON impressions (user_key, coalesce(clicked_at, shown_at))
        WHERE instr(clicked, x'01') > 0;
    """,
    """
    -- The earliest date of publication that came true, of all that the publisher gave.
    ALTER TABLE articles ADD COLUMN first_published_at INTEGER;
    UPDATE articles SET first_published_at = published_at;
    """,
    f"""
    -- For reading: ids as text, instants as ISO 8601 in UTC. An anonymous user has no id, but may
    -- have a session.
    CREATE VIEW IF NOT EXISTS v_articles AS
    SELECT d.article_id, a.title, a.category, a.author, a.url, a.language,
        replace(a.tags, char(10), ', ') AS tags, a.premium,
        {_INSTANT.format("a.published_at")} AS published_at,
        {_INSTANT.format("a.modified_at")} AS modified_at,
        {_INSTANT.format("a.expires_at")} AS expires_at,
        {_INSTANT.format("a.withdrawn_at")} AS withdrawn_at,
        a.kicker, a.summary, a.image_url, a.importance,
        nullif(a.reading_minutes, 0) AS reading_minutes, a.body, a.revision,
        {_INSTANT.format("a.added_at")} AS added_at,
        {_INSTANT.format("a.updated_at")} AS updated_at
    FROM articles a JOIN article_ids d USING (article_key);
    CREATE VIEW IF NOT EXISTS v_clicks AS
    SELECT {_USER}, {_SESSION}, d.article_id,
        {_INSTANT.format("c.clicked_at")} AS clicked_at, c.dwell_seconds, c.source,
        c.time_is_bound
    FROM clicks c JOIN users u USING (user_key) JOIN article_ids d USING (article_key);
    -- One row for each article of an impression, in order of position.
    CREATE VIEW IF NOT EXISTS v_lists AS
    WITH RECURSIVE position (n) AS (
        SELECT 1 UNION ALL
        SELECT n + 1 FROM position WHERE n < (SELECT max(length(clicked)) FROM impressions)
    )
    SELECT i.source AS list, {_USER}, {_SESSION},
        {_INSTANT.format("i.shown_at")} AS shown_at,
        c.article_id AS beside_article_id, n AS rank, d.article_id,
        substr(i.clicked, n, 1) = x'01' AS clicked, i.site, i.variant
    FROM impressions i
    JOIN position ON n <= length(i.clicked)
    JOIN article_ids d ON d.article_key = {_NTH_KEY}
    JOIN users u ON u.user_key = i.user_key
    LEFT JOIN article_ids c ON c.article_key = i.context_key;
    -- One row for each impression; `shown` and `clicked` are JSON, as in a file of impressions.
    CREATE VIEW IF NOT EXISTS v_impressions AS
    WITH RECURSIVE position (n) AS (
        SELECT 1 UNION ALL
        SELECT n + 1 FROM position WHERE n < (SELECT max(length(clicked)) FROM impressions)
    )
    SELECT {_USER}, {_SESSION},
        {_INSTANT.format("i.shown_at")} AS shown_at,
        (SELECT json_group_array(article_id) FROM (
            SELECT d.article_id FROM position JOIN article_ids d ON d.article_key = {_NTH_KEY}
            WHERE n <= length(i.clicked) ORDER BY n)) AS shown,
        (SELECT json_group_array(article_id) FROM (
            SELECT d.article_id FROM position JOIN article_ids d ON d.article_key = {_NTH_KEY}
            WHERE n <= length(i.clicked) AND substr(i.clicked, n, 1) = x'01' ORDER BY n)
        ) AS clicked,
        {_INSTANT.format("i.clicked_at")} AS clicked_at, i.dwell_seconds,
        c.article_id AS article_id, i.source, i.site, i.variant
    FROM impressions i
    JOIN users u ON u.user_key = i.user_key
    LEFT JOIN article_ids c ON c.article_key = i.context_key;
    """,
    """
    -- Who was chosen to hear of which article, see recsys.store.audiences.
    CREATE TABLE audiences (
        day TEXT NOT NULL,                 -- of the site's time zone, ISO 8601
        user_id TEXT NOT NULL,
        article_id TEXT NOT NULL,
        chosen_at INTEGER NOT NULL,
        PRIMARY KEY (day, user_id, article_id)
    ) STRICT, WITHOUT ROWID;
    """,
    """
    -- Files of clicks and impressions that were read: `recsys forget` searches them.
    CREATE TABLE event_files (
        file TEXT PRIMARY KEY,             -- its whole path
        read_at INTEGER NOT NULL
    ) STRICT;
    """,
)


def migrate(
    conn: sqlite3.Connection, path: Path, transaction: Callable[[], AbstractContextManager[None]]
) -> None:
    """Upgrade the schema of a store to the latest version, creating it in an empty file.

    Parameters
    ----------
    conn
        The store's connection.
    path
        The store's file, for error messages.
    transaction
        Begins a transaction on `conn` that commits at the end of the block.

    Raises
    ------
    StoreError
        If the store has a later version than this recsys knows.
    """
    found = _version(conn)
    if found > len(MIGRATIONS):
        raise StoreError(
            f"{path}: the store has schema version {found}, but this recsys knows versions up to"
            f" {len(MIGRATIONS)} only; upgrade recsys"
        )
    for version in range(found, len(MIGRATIONS)):
        with transaction():
            # Another process may have migrated while this one waited for the lock.
            if _version(conn) > version:
                continue
            for statement in MIGRATIONS[version].split(";\n"):
                conn.execute(statement)
            conn.execute(f"PRAGMA user_version = {version + 1}")


def _version(conn: sqlite3.Connection) -> int:
    return int(conn.execute("PRAGMA user_version").fetchone()[0])
