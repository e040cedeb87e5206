-- How many slots there are, by state.
-- Returns numbers by state; what a draining node serves counts as draining.
local idle, claimed, busy, draining, leaving = 0, 0, 0, 0, {}
for _, slot in ipairs(call('ZRANGE', IDLE, 0, -1)) do
  if is_slot(slot) and alive(node_of(slot)) then idle = idle + 1 end
end
for _, node in ipairs(call('ZRANGEBYSCORE', NODES, now - ALIVE, now + ALIVE)) do
  leaving[node] = call('HGET', AV .. 'node:' .. node, 'draining') == '1'
end
for _, key in ipairs(call('ZRANGE', LEASES, 0, -1)) do
  local acked, waiting, slot = unpack(call('HMGET', AV .. 'sess:' .. key, 'acked', 'waiting', 'slot'))
  if slot and slot ~= '' and waiting == '0' then
    if leaving[node_of(slot)] then
      draining = draining + 1
    elseif acked == '1' then
      busy = busy + 1
    else
      claimed = claimed + 1
    end
  end
end
return answer({ idle = idle, claimed = claimed, busy = busy, draining = draining })
