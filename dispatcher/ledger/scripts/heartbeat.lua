-- A node lives, and which of its slots are idle.
-- ARGV: node, slots, draining, number...
-- Where `slots` is '' the numbers are added to those before; else all others are withdrawn.
local node, slots, draining = unpack(ARGV, 1, 3)
local at = AV .. 'node:' .. node
local before = slots_of(node)
local listed = {}
for i = 4, #ARGV do listed[ARGV[i]] = true end
if draining == '1' then listed = {} end
if not watched('born', now) then call('HSET', WATCH, 'born', now) end
call('ZADD', NODES, now, node)
if slots ~= '' then
  withdraw(node, math.max(slots, before), listed)
  call('HSET', at, 'v', VERSION, 'slots', slots, 'draining', draining)
end
call('PEXPIRE', at, HOUR)
for number in pairs(listed) do
  local slot = node .. '/' .. number
  local claim = call('HGET', at, number)
  if not claim or not bound(slot, claim) then
    if claim then call('HDEL', at, number) end
    call('ZADD', IDLE, 'NX', now, slot)
  end
end
