-- A dispatcher moves what has lost its node.
-- ARGV: lease
-- Returns a list of {id, why, what became of it}
local lease = tonumber(ARGV[1])
-- Where nobody has looked for longer, Redis may have been out of reach of the nodes, too: what
-- they hold is renewed first. In less, no lease runs out that was renewed each second.
local GAP = math.max(1000, lease / 3)
local run = call('INFO', 'server'):match('run_id:(%w+)')
local ran, seen, from, born = unpack(call('HMGET', WATCH, 'run', 'seen', 'from', 'born'))
if ran ~= run or not seen or now - seen > GAP then from = now + lease end
call('HSET', WATCH, 'run', run, 'seen', now, 'from', from, 'born', born or now)

for _, node in ipairs(call('ZRANGEBYSCORE', NODES, '-inf', now - ALIVE - 1)) do
  withdraw(node, call('HGET', AV .. 'node:' .. node, 'slots') or 0, {})
  call('DEL', AV .. 'read:' .. node)
  call('ZREM', NODES, node)
end

local reaped = {}
if now < tonumber(from) then return answer(reaped) end
for _, key in ipairs(call('ZRANGEBYSCORE', LEASES, '-inf', now, 'LIMIT', 0, 64)) do
  local rec = session_of(key)
  if not rec.id then
    call('ZREM', LEASES, key)
  else
    local why, became = rec.waiting == '1' and 'waiting' or 'lease', 'ended'
    if rec.state == 'ending' then
      over(key, rec, 'ended', rec.reason)
    else
      became = again(key, rec, why == 'lease' and 'Its node is lost.' or rec.reason, rec.slot ~= '' and node_of(rec.slot) or nil)
    end
    if became ~= 'waits' or why == 'lease' then reaped[#reaped + 1] = { rec.id, why, became } end
  end
end
return answer(reaped)
