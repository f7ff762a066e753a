CREATE TABLE IF NOT EXISTS "sessions" (
    id         text COLLATE "C" NOT NULL PRIMARY KEY,
    version    bigint NOT NULL,
    expires_at bigint,
    format     text NOT NULL,
    owner      text COLLATE "C",
    data       bytea NOT NULL
);
CREATE INDEX IF NOT EXISTS "sessions_expires_at" ON "sessions" (expires_at)
    WHERE expires_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS "sessions_owner" ON "sessions" (owner, id)
    WHERE owner IS NOT NULL;
