-- No worker of this node can go on with a session: another node has to.
-- ARGV: key, id, epoch, slot, reason, attempts, counters
-- Returns 'ok', or 'missing' where Redis has lost the session.
local key, id, epoch, slot, reason, attempts, counters = unpack(ARGV)
local rec = session_of(key)
local result = verdict(rec, id, epoch, slot)
free(slot, key, epoch)
if result == 'missing' then return answer(result) end
if result == 'ok' or result == 'back' then
  call('HSET', AV .. 'sess:' .. key, 'attempts', attempts, 'counters', counters, 'slot', '')
  rec.slot = ''
  again(key, rec, reason, node_of(slot))
elseif result == 'end' and rec.id == id and rec.epoch == epoch then
  over(key, rec, 'ended', rec.reason)
end
return answer('ok')
