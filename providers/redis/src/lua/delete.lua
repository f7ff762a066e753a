#!lua flags=allow-oom
-- KEYS  the record
-- ARGV  now, expect ("absent", "any", a version, or a version, "@" and an expiry or "")
-- Returns what it removed, and until when the owner's sets hold its id. 0: there is no live record.
-- The live record, without that time: a conflict with it.
local held = redis.call("HMGET", KEYS[1], "v", "e", "f", "o", "d", "l")
if ARGV[2] ~= "any" then
    if not held[1] or (held[2] and tonumber(held[2]) <= tonumber(ARGV[1])) then
        return 0
    end
    local is = held[1]
    if string.find(ARGV[2], "@", 1, true) then
        is = is .. "@" .. (held[2] or "")
    end
    if is ~= ARGV[2] then
        return {held[1], held[2], held[3], held[4], held[5]}
    end
end
redis.call("DEL", KEYS[1])
return held
