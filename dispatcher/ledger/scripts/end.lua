-- A request ends a session.
-- ARGV: id, reason
local id, reason = unpack(ARGV)
local key = call('GET', AV .. 'id:' .. id)
if key then
  local rec = session_of(key)
  if rec.id == id then request_end(key, rec, reason) end
end
