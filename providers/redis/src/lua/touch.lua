#!lua flags=allow-oom
-- KEYS  the record
-- ARGV  now, expires_at, expect ("absent", "any", a version, or a version, "@" and an expiry or ""),
--       and where the owner's set was asked for: listed_until, and the owner in whose set that holds
-- Returns 1: touched, or nothing to do. 0: there is no live record. The owner: their set must hold
-- the id for longer first. The live record: a conflict with it.
local held = redis.call("HMGET", KEYS[1], "v", "e", "o", "l")
if not held[1] or (held[2] and tonumber(held[2]) <= tonumber(ARGV[1])) then
    return 0
end
if ARGV[3] ~= "any" then
    local is = held[1]
    if string.find(ARGV[3], "@", 1, true) then
        is = is .. "@" .. (held[2] or "")
    end
    if is ~= ARGV[3] then
        return redis.call("HMGET", KEYS[1], "v", "e", "f", "o", "d")
    end
end
if not held[2] or tonumber(held[2]) >= tonumber(ARGV[2]) then
    return 1
end
-- The server's clock removes the record, but not before it has expired by the caller's.
local time = redis.call("TIME")
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local remove_at = ARGV[2] + math.max(0, now - ARGV[1])
if held[3] and tonumber(held[4]) < remove_at then
    if held[3] ~= ARGV[5] then
        return held[3]
    end
    redis.call("HSET", KEYS[1], "l", ARGV[4])
end
redis.call("HSET", KEYS[1], "e", ARGV[2])
redis.call("PEXPIREAT", KEYS[1], string.format("%.0f", remove_at))
return 1
