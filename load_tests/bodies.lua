-- wrk's script: posts the lines of a file, each a JSON body, in turn; prints what it saw as one line of JSON.
-- wrk -s load_tests/bodies.lua URL -- PATH FILE FIRST

local requests, next_request = {}, 0

function init(args)
    local path, file, first = args[1], args[2], tonumber(args[3])
    for line in io.lines(file) do
        requests[#requests + 1] =
            wrk.format("POST", path, { ["Content-Type"] = "application/json", ["Host"] = wrk.host }, line)
    end
    next_request = first
end

function request()
    next_request = next_request % #requests + 1
    return requests[next_request]
end

function done(summary, latency)
    local errors = summary.errors
    io.write(string.format(
        '{"requests": %d, "seconds": %.6f, "p50_ms": %.3f, "p90_ms": %.3f, "p99_ms": %.3f, "max_ms": %.3f, '
            .. '"refused": %d, "broken": %d}\n',
        summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(90) / 1e3,
        latency:percentile(99) / 1e3, latency.max / 1e3, errors.status,
        errors.connect + errors.read + errors.write + errors.timeout))
end
