-- A dispatcher moves sessions that have lost their node.
-- ARGV: lease
-- Returns a list of {id, why, what became of it}
local lease = tonumber(ARGV[1])
local MOST_REAPED = 64
-- Where no dispatcher has looked for longer, Redis may have been out of reach of the nodes, too: what
-- they hold is renewed first. In less, no lease expires that was renewed each second.
local GAP = math.max(1000, lease / 3)
local run = call('INFO', 'server'):match('run_id:(%w+)')
local ran, seen = call('HGET', WATCH, 'run'), watched('seen', MOST)
local from, born = watched('from', now + HOUR), watched('born', now)
if ran ~= run or not seen or not from or now - seen > GAP then from = now + lease end
call('HSET', WATCH, 'run', run, 'seen', now, 'from', from, 'born', born or now)

local lost = call('ZRANGEBYSCORE', NODES, '-inf', now - ALIVE - 1)
for _, node in ipairs(call('ZRANGEBYSCORE', NODES, now + ALIVE + 1, '+inf')) do
  refuse('number', NODES, 'A heartbeat comes from the future.')
  lost[#lost + 1] = node
end
for _, node in ipairs(lost) do
  withdraw(node, slots_of(node), {})
  call('DEL', AV .. 'read:' .. node)
  call('ZREM', NODES, node)
end

local reaped = {}
if now < from then return answer(reaped) end
for _, key in ipairs(call('ZRANGEBYSCORE', LEASES, now + HOUR, '+inf')) do
  refuse('number', LEASES, 'A lease is longer than any.')
  call('ZADD', LEASES, now + lease, key)
end
for _, key in ipairs(call('ZRANGEBYSCORE', LEASES, '-inf', now)) do
  local rec = session_of(key)
  if #reaped >= MOST_REAPED then break end
  if rec.newer then
    -- Those who can read it look after it.
  elseif not rec.id then
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
