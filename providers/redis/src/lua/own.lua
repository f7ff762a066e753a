#!lua
-- KEYS  the owner's ids, in their order; the owner's ids, by when each may be forgotten
-- ARGV  id, until when it must be held at least, now
-- Returns until when it is held: an even number if the id was not there, an odd and larger one if
-- it was. So a save that finds another under way for its id leaves a mark in both.
-- An id is forgotten by the server's clock, which also ends the records.
local time = redis.call("TIME")
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local dead = redis.call("ZRANGE", KEYS[2], "-inf", now, "BYSCORE", "LIMIT", 0, 100)
if #dead > 0 then
    redis.call("ZREM", KEYS[1], unpack(dead))
    redis.call("ZREM", KEYS[2], unpack(dead))
end
-- By the caller's clock too, if that is behind.
local held, odd = ARGV[2] + math.max(0, now - ARGV[3]), 0
local before = redis.call("ZSCORE", KEYS[2], ARGV[1])
if before then
    held, odd = math.max(held, tonumber(before) + 1), 1
end
held = held + (held + odd) % 2
local text = string.format("%.0f", held)
redis.call("ZADD", KEYS[1], 0, ARGV[1])
redis.call("ZADD", KEYS[2], text, ARGV[1])
-- Both end with the last of them.
local last = tonumber(redis.call("ZRANGE", KEYS[2], 0, 0, "REV", "WITHSCORES")[2])
for _, key in ipairs(KEYS) do
    if last >= 9007199254740000 then -- Never.
        redis.call("PERSIST", key)
    else
        redis.call("PEXPIREAT", key, string.format("%.0f", last))
    end
end
return text
