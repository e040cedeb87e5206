-- The worker has left for good; the slot is free.
-- ARGV: key, id, epoch, slot, state, reason, settlement, attempts, counters
-- Returns 'ok', or 'missing' where Redis has lost the session.
local key, id, epoch, slot, state, reason, settlement, attempts, counters = unpack(ARGV)
local rec = session_of(key)
local said = verdict(rec, id, epoch, slot)
free(slot, key, epoch)
if said == 'missing' then return answer(said) end
if rec.id == id and (said == 'ok' or said == 'back' or said == 'end') and rec.epoch == epoch then
  call('HSET', AV .. 'sess:' .. key, 'attempts', attempts, 'counters', counters)
  if rec.state == 'ending' then reason = rec.reason end  -- whoever ended it said why
  over(key, rec, state, reason ~= '' and reason or nil, settlement)
elseif said == 'handing' and state == 'ended' then
  -- The meeting is over before the replacement is in it.
  tell_end(key, rec, reason)
end
return answer('ok')
