#!lua flags=allow-oom
-- KEYS  the record
-- ARGV  now, expires_at, expect ("absent", "any", a version, or a version, "@" and an expires_at or
--       ""), listed_until or "", and the owner in whose set that holds
-- Versions are compared as strings: a number here has 53 bits, a version 64.
-- Returns 1: touched, or nothing to do. 0: there is no live record. The live record: a conflict with
-- it. The owner: their set must hold the id for longer first.
local held = redis.call("HMGET", KEYS[1], "v", "e", "o", "l")
if not held[1] or (held[2] and tonumber(held[2]) <= tonumber(ARGV[1])) then
    return 0
end
if ARGV[3] ~= "any" and ARGV[3] ~= held[1] and ARGV[3] ~= held[1] .. "@" .. (held[2] or "") then
    return redis.call("HMGET", KEYS[1], "v", "e", "f", "o", "d")
end
if not held[2] or tonumber(held[2]) >= tonumber(ARGV[2]) then
    return 1
end
if held[3] and tonumber(held[4]) < tonumber(ARGV[2]) then
    if held[3] ~= ARGV[5] then
        return held[3]
    end
    redis.call("HSET", KEYS[1], "l", ARGV[4])
end
redis.call("HSET", KEYS[1], "e", ARGV[2])
redis.call("PEXPIREAT", KEYS[1], ARGV[2])
return 1
