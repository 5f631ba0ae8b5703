-- wrk -s load.lua URL -- MODE [ARGUMENT]: what is asked for, and the result as one line of JSON.
--   get              the URL
--   post BYTES       a body of so many bytes to the URL
--   mixed PERCENT    so many percent of the requests, at random but the same in every run, go to /slow

local function mixed(percent)
  math.randomseed(20)
  local fast, slow = wrk.format("GET", "/"), wrk.format("GET", "/slow")
  return function()
    return math.random(100) <= percent and slow or fast
  end
end

function init(args)
  if args[1] == "post" then
    wrk.method = "POST"
    wrk.body = string.rep("x", tonumber(args[2]))
  elseif args[1] == "mixed" then
    request = mixed(tonumber(args[2]))
  end
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests": %d, "seconds": %f, "p50": %f, "p99": %f, "p999": %f, "errors": %d}\n',
    summary.requests, summary.duration / 1e6,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, latency:percentile(99.9) / 1e3,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
