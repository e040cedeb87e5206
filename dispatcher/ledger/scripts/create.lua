-- A node writes anew what Redis has lost of a session that it serves.
-- ARGV: key, epoch, lease, field, value, ...
-- Nothing happens where the record is at this epoch or a higher one by now.
local key, epoch, lease = unpack(ARGV, 1, 3)
local rec = session_of(key)
if rec.newer or tonumber(rec.epoch or '0') >= tonumber(epoch) then return end
if rec.id then
  if rec.slot ~= '' then post(node_of(rec.slot), 'end ' .. key .. ' ' .. rec.id) end
  over(key, rec, 'ended', 'An older worker has come back.')
end
local sess = AV .. 'sess:' .. key
call('DEL', sess)
call('HSET', sess, 'v', VERSION, 'waiting', '0', 'ever', '1', 'born', now, 'tries', '1', 'nacks', '0', 'waiters', '',
  'since_ack', now, unpack(ARGV, 4))
rec = session_of(key)
call('PEXPIRE', sess, lasts(tonumber(rec.exp)))
if rec.state ~= 'ending' then index(key, rec) end
call('HSET', AV .. 'node:' .. node_of(rec.slot), number_of(rec.slot), key .. ' ' .. epoch)
call('ZADD', LEASES, now + (rec.acked == '1' and lease or UNACKED), key)
