-- A worker has taken the join request.
-- ARGV: key, id, epoch, slot, lease
-- Returns a verdict.
local key, id, epoch, slot, lease = unpack(ARGV)
local rec = session_of(key)
local result = verdict(rec, id, epoch, slot)
if result == 'back' and not regain(key, slot, epoch) then result = 'fenced' end
if result == 'ok' or result == 'back' then
  local news = { 'acked', '1', 'ever', '1', 'waiting', '0', 'nacks', '0', 'waiters', '' }
  if rec.acked == '0' then
    news[#news + 1], news[#news + 2] = 'since_ack', now
    if rec.state == 'claimed' then
      for _, each in ipairs({ 'state', 'joining', 'since', now, 'life', lived(rec.life, 'joining', rec.reason ~= '' and rec.reason or nil) }) do
        news[#news + 1] = each
      end
    end
  end
  call('HSET', AV .. 'sess:' .. key, unpack(news))
  call('ZADD', LEASES, now + lease, key)
  reply(rec, 'acked')
  return answer('ok')
end
return answer(result)
