-- A node prolongs the leases of all that it holds.
-- ARGV: lease, then for each: key, id, epoch, slot, acked, since, renewals
-- Returns a verdict for each; `behind` where the record lacks what the node has reported.
local lease = tonumber(ARGV[1])
local answers = {}
for i = 2, #ARGV, 7 do
  local key, id, epoch, slot, acked, since, renewals = unpack(ARGV, i, i + 6)
  local sess = AV .. 'sess:' .. key
  local rec = session_of(key)
  local result = verdict(rec, id, epoch, slot)
  if result == 'back' and not regain(key, slot, epoch) then result = 'fenced' end
  if result == 'ok' or result == 'back' then
    local taken = acked == '1'
    if taken and rec.acked == '0' then
      call('HSET', sess, 'acked', '1', 'ever', '1', 'since_ack', now, 'waiters', '')
      reply(rec, 'acked')
    end
    if result == 'back' then call('HSET', sess, 'waiting', '0') end
    if call('SADD', AV .. 'room:' .. rec.roomhash, key) == 1 or call('GET', AV .. 'id:' .. id) ~= key then
      index(key, rec)
    end
    call('ZADD', LEASES, now + (taken and lease or UNACKED), key)
    call('PEXPIRE', sess, lasts(tonumber(rec.exp)))
    call('HSET', AV .. 'node:' .. node_of(slot), number_of(slot), key .. ' ' .. epoch)
    if tonumber(renewals) < tonumber(rec.renewals) then
      post(node_of(slot), 'renew ' .. key .. ' ' .. id)
    end
    if taken and rec.since ~= since then result = 'behind' else result = 'ok' end
  elseif result == 'end' and rec.id == id and rec.slot == slot then
    call('ZADD', LEASES, now + lease, key)
  end
  answers[#answers + 1] = result
end
return answer(answers)
