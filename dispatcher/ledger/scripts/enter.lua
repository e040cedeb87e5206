-- What a worker has reported of its session.
-- ARGV: key, id, epoch, slot, state, since, reason, attempts, counters, life
-- Returns a verdict.
local key, id, epoch, slot, state, since, reason, attempts, counters, life = unpack(ARGV)
local rec = session_of(key)
local result = verdict(rec, id, epoch, slot)
if result == 'ok' then
  call('HSET', AV .. 'sess:' .. key, 'state', state, 'since', since, 'reason', reason,
    'attempts', attempts, 'counters', counters, 'life', life)
  if state == 'active' and rec.from then
    post(node_of(rec.from), 'handed ' .. key .. ' ' .. id)
    call('HDEL', AV .. 'sess:' .. key, 'from', 'until')
  end
elseif result == 'end' and rec.id == id and rec.epoch == epoch then
  call('HSET', AV .. 'sess:' .. key, 'attempts', attempts, 'counters', counters)
end
return answer(result)
