#!lua flags=allow-oom
-- KEYS  the record
-- Returns what it removed.
local held = redis.call("HMGET", KEYS[1], "v", "e", "f", "o", "d")
redis.call("DEL", KEYS[1])
return held
