-- Requests with the session cookies of a file, one a line. Arguments: the file, how cookies are
-- taken from it, and the path.
--   random    each request takes one at random
--   mixed     the same, and every tenth request goes to /write
--   once      each cookie is sent once; the load ends after the last

local ffi = require("ffi")
ffi.cdef [[
typedef struct { long seconds; long nanos; } load_time;
int clock_gettime(int clock, load_time *time);
]]

local now = ffi.new("load_time")

local function seconds()
    ffi.C.clock_gettime(1, now)
    return tonumber(now.seconds) + tonumber(now.nanos) / 1e9
end

local threads = {}

function setup(thread)
    table.insert(threads, thread)
end

local requests, writes, how, harmless = {}, {}, nil, nil
-- Read by done(). These are globals because it sees no others.
sent, first, last = 0, 0, 0

function init(args)
    how = args[2]
    math.randomseed(os.time())
    harmless = wrk.format("GET", "/peek", {})
    for cookie in io.lines(args[1]) do
        local headers = {}
        if cookie ~= "" then headers["Cookie"] = cookie end
        table.insert(requests, wrk.format("GET", args[3], headers))
        if how == "mixed" then table.insert(writes, wrk.format("GET", "/write", headers)) end
    end
end

function request()
    if sent == 0 then first = seconds() end
    sent = sent + 1
    if how == "once" then
        if sent >= #requests and last == 0 then
            last = seconds()
            wrk.thread:stop()
        end
        -- Connections that are ready when the load ends send one more request.
        return requests[sent] or harmless
    end
    if how == "mixed" and math.random(10) == 1 then return writes[math.random(#writes)] end
    return requests[math.random(#requests)]
end

-- One line for the bench: requests, microseconds, errors.
function done(summary, latency, _)
    local micros = summary.duration
    local first, last = threads[1]:get("first"), threads[1]:get("last")
    if last > 0 then micros = (last - first) * 1e6 end
    local errors = summary.errors
    local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
    io.write(string.format("load %d %d %d\n", summary.requests, micros, failed))
end
