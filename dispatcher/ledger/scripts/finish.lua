-- The worker has left for good; the slot is free.
-- ARGV: key, id, epoch, slot, state, reason, resolution, attempts, counters
-- Returns 'ok', or 'missing' where Redis has lost the session.
local key, id, epoch, slot, state, reason, resolution, attempts, counters = unpack(ARGV)
local rec = session_of(key)
local result = verdict(rec, id, epoch, slot)
free(slot, key, epoch)
if result == 'missing' then return answer(result) end
if rec.id == id and (result == 'ok' or result == 'back' or result == 'end') and rec.epoch == epoch then
  call('HSET', AV .. 'sess:' .. key, 'attempts', attempts, 'counters', counters)
  if rec.state == 'ending' then reason = rec.reason end  -- the reason of whoever ended it
  over(key, rec, state, reason ~= '' and reason or nil, resolution)
elseif result == 'handing' and state == 'ended' then
  -- The meeting is over before the replacement is in it.
  request_end(key, rec, reason)
end
return answer('ok')
