-- A node that is to stop has another one take over, and stays until that is active, or 20 s.
-- ARGV: key, id, epoch, slot
-- Returns true, or false where no slot is idle elsewhere or there is nothing to hand off.
local key, id, epoch, slot = unpack(ARGV)
local rec = session_of(key)
if verdict(rec, id, epoch, slot) ~= 'ok' or rec.acked == '0' then return answer(false) end
if rec.exp - now < EXPIRING then return answer(false) end  -- nobody else could join with it
local to = pick(node_of(slot), true)
if not to then return answer(false) end
local next = string.format('%d', epoch + 1)
call('HSET', AV .. 'sess:' .. key, 'slot', to, 'epoch', next, 'acked', '0',
  'from', slot .. ' ' .. epoch, 'until', now + HANDING)
assign(key, to, next)
return answer(true)
