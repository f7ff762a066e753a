CREATE TABLE IF NOT EXISTS "sessions" (
    id         TEXT    NOT NULL PRIMARY KEY,
    version    INTEGER NOT NULL,
    expires_at INTEGER,
    format     TEXT    NOT NULL,
    owner      TEXT,
    data       BLOB    NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS "sessions_expires_at" ON "sessions" (expires_at)
    WHERE expires_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS "sessions_owner" ON "sessions" (owner, id)
    WHERE owner IS NOT NULL;
