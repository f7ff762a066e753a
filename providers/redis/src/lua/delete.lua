#!lua flags=allow-oom
-- KEYS  the record
-- Returns what it removed, and until when the owner's sets hold its id.
local held = redis.call("HMGET", KEYS[1], "v", "e", "f", "o", "d", "l")
redis.call("DEL", KEYS[1])
return held
