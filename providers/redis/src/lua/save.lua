#!lua
-- KEYS  the record
-- ARGV  now, expect ("absent", "any", a version, or a version, "@" and an expiry or ""), version,
--       expires_at or "", format, data, listed_until or "", and the owner if there is one
-- Versions are compared as strings: a number here has 53 bits, a version 64.
-- Returns 1: saved. 0: there is no live record. 2: the owner's set must hold the id first.
-- The live record: a conflict with it.
local held = redis.call("HMGET", KEYS[1], "v", "e", "o", "l")
local live = held[1] and (not held[2] or tonumber(held[2]) > tonumber(ARGV[1]))
if ARGV[2] == "absent" then
    if live then
        return redis.call("HMGET", KEYS[1], "v", "e", "f", "o", "d")
    end
elseif ARGV[2] ~= "any" then
    if not live then
        return 0
    end
    local is = held[1]
    if string.find(ARGV[2], "@", 1, true) then
        is = is .. "@" .. (held[2] or "")
    end
    if is ~= ARGV[2] then
        return redis.call("HMGET", KEYS[1], "v", "e", "f", "o", "d")
    end
end
local expires_at, listed_until, owner = ARGV[4], ARGV[7], ARGV[8]
-- The server's clock removes the record, but not before it has expired by the caller's.
local remove_at = 9007199254740000 -- Never is as good as this.
if expires_at ~= "" then
    local time = redis.call("TIME")
    local now = time[1] * 1000 + math.floor(time[2] / 1000)
    remove_at = expires_at + math.max(0, now - ARGV[1])
end
if owner and listed_until == "" then
    if held[3] ~= owner or tonumber(held[4]) < remove_at then
        return 2
    end
    listed_until = held[4]
end
-- Of what the record held before, only these would survive: an expiry and its time to live, an owner.
if (held[2] and expires_at == "") or (held[3] and not owner) then
    redis.call("DEL", KEYS[1])
end
local fields = { "v", ARGV[3], "f", ARGV[5], "d", ARGV[6] }
if owner then
    fields[7], fields[8], fields[9], fields[10] = "o", owner, "l", listed_until
end
if expires_at ~= "" then
    local count = #fields
    fields[count + 1], fields[count + 2] = "e", expires_at
end
redis.call("HSET", KEYS[1], unpack(fields))
if expires_at ~= "" then
    redis.call("PEXPIREAT", KEYS[1], string.format("%.0f", remove_at))
end
return 1
