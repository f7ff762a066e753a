#!lua flags=allow-oom
-- KEYS  the owner's ids, in their order; the owner's ids, by when each may be forgotten
-- ARGV  id, until when it was held for the record that is gone
-- Does nothing where another save has put the id in since: its record may be about to come.
local held = redis.call("ZSCORE", KEYS[2], ARGV[1])
if held and tonumber(held) == tonumber(ARGV[2]) then
    redis.call("ZREM", KEYS[1], ARGV[1])
    redis.call("ZREM", KEYS[2], ARGV[1])
end
return 1
