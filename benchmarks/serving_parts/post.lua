-- POST with keep-alive, for wrk. The body comes from a file; every @ID@ in it is an id of its own.
-- Arguments after `--`: file of the body, what every id begins with. Prints one line of JSON at the end.

local body, prefix, threads = '', '', 0

function setup(thread)
  thread:set('number', threads)
  threads = threads + 1
end

function init(arguments)
  local file = assert(io.open(arguments[1], 'rb'))
  body = file:read('*a')
  file:close()
  prefix = (arguments[2] or '') .. '-' .. number .. '-'
  wrk.method = 'POST'
  wrk.headers['Content-Type'] = 'application/json'
  sent = 0
  refused = 0
end

function request()
  sent = sent + 1
  local id = prefix .. sent
  return wrk.format(nil, nil, nil, (body:gsub('@ID@', function() return id end)))
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"requests": %d, "seconds": %.6f, "p50_ms": %.4f, "p99_ms": %.4f, "errors": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
