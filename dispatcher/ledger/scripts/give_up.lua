-- No POST of a dispatcher waits for a claim any more.
-- ARGV: key, id, replies, reason
local key, id, list, reason = unpack(ARGV)
local rec = session_of(key)
if rec.id ~= id or rec.acked == '1' or rec.state == 'ending' then return end
local others = {}
for each in rec.waiters:gmatch('%S+') do
  if each ~= list then others[#others + 1] = each end
end
call('HSET', AV .. 'sess:' .. key, 'waiters', table.concat(others, ' '))
if #others == 0 and rec.ever == '0' then over(key, rec, 'failed', reason) end
