-- How many nodes live, by what they can do.
-- Returns numbers: able (slots are idle or in use), unable (none is), draining; none is 1 or 0.
local has = {}
for _, slot in ipairs(call('ZRANGE', IDLE, 0, -1)) do
  if is_slot(slot) then has[node_of(slot)] = true end
end
for _, key in ipairs(call('ZRANGE', LEASES, 0, -1)) do
  local slot = call('HGET', AV .. 'sess:' .. key, 'slot')
  if slot and is_slot(slot) then has[node_of(slot)] = true end
end
local able, unable, draining = 0, 0, 0
for _, node in ipairs(call('ZRANGEBYSCORE', NODES, now - ALIVE, now + ALIVE)) do
  if call('HGET', AV .. 'node:' .. node, 'draining') == '1' then
    draining = draining + 1
  elseif has[node] then
    able = able + 1
  else
    unable = unable + 1
  end
end
local none = able + unable + draining == 0 and 1 or 0
return answer({ able = able, unable = unable, draining = draining, none = none })
