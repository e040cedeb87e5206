-- Sessions as anybody may see them, without their join requests.
-- ARGV: id... ; without any, all that live and the latest that are over
-- Returns a list of {where it stands, record}
local found, ids = {}, ARGV
local function show(at, key, rec)
  if rec.id then found[#found + 1] = { at, shown(key or rec.key, rec) } end
end
if #ids == 0 then
  for _, id in ipairs(call('ZRANGE', OVER, 0, -1)) do
    show('over:' .. id, nil, hash(AV .. 'over:' .. id))
  end
  for _, key in ipairs(call('ZRANGE', LEASES, 0, -1)) do show('sess:' .. key, key, session_of(key)) end
end
for _, id in ipairs(ids) do
  local key = call('GET', AV .. 'id:' .. id)
  if key then
    show('sess:' .. key, key, session_of(key))
  else
    show('over:' .. id, nil, hash(AV .. 'over:' .. id))
  end
end
return answer(found)
