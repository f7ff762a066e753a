CREATE TABLE IF NOT EXISTS "sessions" (
    id           text COLLATE "C" NOT NULL PRIMARY KEY,
    version      bigint NOT NULL,
    expires_at   bigint,
    expires_slot bigint GENERATED ALWAYS AS (expires_at >> 20) STORED,
    format       text NOT NULL,
    owner        text COLLATE "C",
    data         bytea NOT NULL
) WITH (fillfactor = 90);
CREATE INDEX IF NOT EXISTS "sessions_expires_slot" ON "sessions" (expires_slot)
    WHERE expires_slot IS NOT NULL;
CREATE INDEX IF NOT EXISTS "sessions_owner" ON "sessions" (owner, id)
    WHERE owner IS NOT NULL;
