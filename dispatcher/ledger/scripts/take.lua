-- A node reads its commands, the first of which it has moved to its list of those begun.
-- ARGV: node
-- Returns a list of {kind, key, ...}; a claim that is stale by now is left out.
local node = ARGV[1]
local begun, box = AV .. 'read:' .. node, AV .. 'mbox:' .. node
local commands, read = call('LRANGE', begun, 0, -1), {}
for _, more in ipairs(call('LRANGE', box, 0, -1)) do commands[#commands + 1] = more end
call('DEL', begun, box)

for _, command in ipairs(commands) do
  local kind, key, what = command:match('^(%S+) (%S+) (%S+)$')
  local rec = key and session_of(key) or {}
  if not key or not is_text(command) then
    refuse('letter', box, 'It is no command.')
  elseif kind == 'serve' then
    if rec.id and rec.epoch == what and rec.slot ~= '' and node_of(rec.slot) == node then
      if rec.state == 'ending' then
        over(key, rec, 'ended', rec.reason)
      elseif rec.acked == '0' and (rec.waiting == '0' or regain(key, rec.slot, what)) then
        call('HSET', AV .. 'sess:' .. key, 'waiting', '0')
        call('ZADD', LEASES, now + UNACKED, key)
        local join = rec.join
        rec.waiting = '0'
        read[#read + 1] = { 'serve', key, shown(key, rec), join }
      end
    end
  elseif kind == 'renew' then
    if rec.id == what then read[#read + 1] = { 'renew', key, what, rec.epoch, rec.join, rec.exp, rec.renewals } end
  elseif kind == 'end' then
    read[#read + 1] = { 'end', key, what, rec.id == what and rec.reason or 'It was ended.' }
  elseif kind == 'handed' then
    read[#read + 1] = { kind, key, what }
  else
    refuse('letter', box, 'It is of no kind that this version knows.')
  end
end
return answer(read)
