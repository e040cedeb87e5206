-- A dispatcher cannot read something: it is set aside.
-- ARGV: where it stands, why, the epoch that it is at
-- Of a session that lives, what is read and not the epoch it had then, is another record by now.
local at, why, epoch = unpack(ARGV)
local place, key = at:match('^(%a+):(.*)$')
if place == 'sess' then
  local rec = session_of(key)
  if rec.id and rec.epoch == epoch then discard(key, rec, why) end
elseif place == 'over' then
  if call('EXISTS', AV .. at) == 1 then set_aside(AV .. at, 'record', why) end
  call('ZREM', OVER, key)
else
  call('LLEN', AV .. at)  -- which sets aside what is no list
end
