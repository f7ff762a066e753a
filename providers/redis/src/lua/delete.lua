#!lua flags=allow-oom
-- KEYS  the record
-- ARGV  now, expect ("absent", "any", a version, or a version, "@" and an expires_at or "")
-- Versions are compared as strings: a number here has 53 bits, a version 64.
-- Returns what it removed, and until when the owner's sets hold its id. 0: there is no live record.
-- The live record, without that time: a conflict with it.
local held = redis.call("HMGET", KEYS[1], "v", "e", "f", "o", "d", "l")
if ARGV[2] ~= "any" then
    if not held[1] or (held[2] and tonumber(held[2]) <= tonumber(ARGV[1])) then
        return 0
    elseif ARGV[2] ~= held[1] and ARGV[2] ~= held[1] .. "@" .. (held[2] or "") then
        return redis.call("HMGET", KEYS[1], "v", "e", "f", "o", "d")
    end
end
redis.call("DEL", KEYS[1])
return held
