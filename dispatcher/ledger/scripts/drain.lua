-- A node is to be given nothing more; claims that it has not read yet go elsewhere.
-- ARGV: node
local node = ARGV[1]
local at, box = AV .. 'node:' .. node, AV .. 'mbox:' .. node
withdraw(node, slots_of(node), {})
call('HSET', at, 'draining', '1')
call('PEXPIRE', at, HOUR)
local commands = call('LRANGE', box, 0, -1)
call('DEL', box)
for _, command in ipairs(commands) do
  local kind, key, what = command:match('^(%S+) (%S+) (%S+)$')
  local rec = key and session_of(key) or {}
  if kind ~= 'serve' then
    post(node, command)
  elseif rec.id and rec.epoch == what and rec.acked == '0' and rec.slot ~= '' and node_of(rec.slot) == node then
    if rec.state == 'ending' then
      over(key, rec, 'ended', rec.reason)
    else
      free(rec.slot, key, rec.epoch)
      call('HSET', AV .. 'sess:' .. key, 'slot', '')
      rec.slot = ''
      move(key, rec, 'Its node is about to stop.', pick(node))
    end
  end
end
