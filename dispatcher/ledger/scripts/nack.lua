-- A node cannot serve what was claimed for its slot: another slot, within the same POST.
-- ARGV: key, id, epoch, slot, reason
local key, id, epoch, slot, reason = unpack(ARGV)
local rec = session_of(key)
free(slot, key, epoch)
local result = verdict(rec, id, epoch, slot)
if (result == 'ok' or result == 'back') and rec.acked == '0' then
  local nacks = rec.nacks + 1
  call('HSET', AV .. 'sess:' .. key, 'slot', '', 'nacks', nacks)
  rec.slot = ''
  move(key, rec, reason, nacks < NACKS and pick(node_of(slot)) or nil)
elseif result == 'end' and rec.id == id then
  over(key, rec, 'ended', rec.reason)
end
