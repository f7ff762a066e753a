CREATE TABLE IF NOT EXISTS `sessions` (
    id           VARBINARY(255)  NOT NULL PRIMARY KEY,
    version      BIGINT UNSIGNED NOT NULL,
    expires_at   BIGINT,
    expires_slot BIGINT GENERATED ALWAYS AS (expires_at >> 20) STORED,
    format       VARBINARY(255)  NOT NULL,
    owner        VARBINARY(255),
    data         LONGBLOB        NOT NULL,
    KEY expires_slot (expires_slot),
    KEY owner (owner, id)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC
