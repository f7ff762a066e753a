CREATE TABLE IF NOT EXISTS `sessions` (
    id         VARBINARY(255)  NOT NULL PRIMARY KEY,
    version    BIGINT UNSIGNED NOT NULL,
    expires_at BIGINT,
    format     VARBINARY(255)  NOT NULL,
    owner      VARBINARY(255),
    data       LONGBLOB        NOT NULL,
    KEY expires_at (expires_at),
    KEY owner (owner, id)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC
