-- A dispatcher claims an idle slot for a session, or finds the one that lives.
-- ARGV: key, roomhash, owner, id, room, participant, join, exp, trace, policy, cap, replies, the
-- session and the epoch that the join request is encrypted for, the mark of the naming that it was
-- merged with, and a new mark where it names another agent
-- Returns {outcome, what the record is now}; of a new one only what the dispatcher cannot know;
-- or {'seal', id, epoch, mark, join} where nothing has happened, as it has to be encrypted for
-- those, and merged with that join request where the session lives.
local key, roomhash, owner, id, room, participant, join, exp, trace, policy, cap, list, for_id, for_epoch, for_mark, mark = unpack(ARGV)

exp = tonumber(exp) or now + 24 * HOUR  -- no session lives so long
if exp - now < EXPIRING then return answer({ 'expiring' }) end
local sess = AV .. 'sess:' .. key
local rec = session_of(key)
if rec.newer then return answer({ 'newer' }) end
if may_return(rec) then return answer({ 'full' }) end

local lives = rec.id and rec.state ~= 'ending'
local epoch = lives and rec.epoch or rec.next or string.format('%d', (rec.epoch or 0) + 1)
if for_epoch ~= epoch or for_id ~= (lives and rec.id or id) or (lives and for_mark ~= (rec.named or '')) then
  return answer({ 'seal', lives and rec.id or id, epoch, lives and rec.named or '', lives and rec.join or '' })
end

if lives then
  local news = { 'join', join, 'exp', exp, 'trace', trace, 'renewals', rec.renewals + 1 }
  if rec.acked == '0' and not (' ' .. rec.waiters .. ' '):find(' ' .. list .. ' ', 1, true) then
    news[#news + 1], news[#news + 2] = 'waiters', rec.waiters .. ' ' .. list
  end
  if mark ~= '' then news[#news + 1], news[#news + 2] = 'named', mark end
  call('HSET', sess, unpack(news))
  call('PEXPIRE', sess, lasts(exp))
  if rec.acked == '1' then post(node_of(rec.slot), 'renew ' .. key .. ' ' .. rec.id) end
  rec.exp, rec.trace, rec.renewals = string.format('%.0f', exp), trace, string.format('%d', rec.renewals + 1)
  return answer({ 'same', shown(key, rec) })
end

local born = watched('born', now)
if not born then
  call('HSET', WATCH, 'born', now)
  born = now
end
if now - born < REWRITE then return answer({ 'full' }) end

local older_faces, mine = {}, 0
if policy ~= 'multi' then
  for _, other in ipairs(call('SMEMBERS', AV .. 'room:' .. roomhash)) do
    local older = session_of(other)
    if older.newer then return answer({ 'newer' }) end
    if may_return(older) then return answer({ 'full' }) end
    if other == key or not older.id or older.roomhash ~= roomhash then
      if other ~= key then call('SREM', AV .. 'room:' .. roomhash, other) end
    elseif older.state ~= 'ending' then
      if policy == 'reject' then return answer({ 'conflict' }) end
      older_faces[#older_faces + 1] = { other, older }
      if older.owner == owner then mine = mine + 1 end
    end
  end
end

cap = tonumber(cap)
if cap > 0 and owner ~= '' and call('SCARD', AV .. 'owner:' .. owner) - mine >= cap then
  local members, live = call('SMEMBERS', AV .. 'owner:' .. owner), -mine
  for _, other in ipairs(members) do
    if call('HGET', AV .. 'sess:' .. other, 'owner') == owner then
      live = live + 1
    else
      call('SREM', AV .. 'owner:' .. owner, other)
    end
  end
  if live >= cap then return answer({ 'too_many' }) end
end

for _, older in ipairs(older_faces) do
  request_end(older[1], older[2], 'Another face has taken its place in the room.')
end

local slot = pick()
if not slot then return answer({ 'full' }) end
if rec.id then over(key, rec, 'ended', rec.reason) end

call('DEL', sess)
call('HSET', sess,
  'v', VERSION, 'id', id, 'room', room, 'roomhash', roomhash, 'participant', participant, 'owner', owner,
  'state', 'claimed', 'since', now, 'reason', '', 'epoch', epoch, 'slot', slot, 'acked', '0',
  'waiting', '0', 'ever', '0', 'born', now, 'attempts', '0', 'tries', '1', 'nacks', '0',
  'exp', exp, 'trace', trace, 'renewals', '0', 'counters', '{}', 'waiters', list, 'join', join,
  'life', string.format('[["claimed",%d,null]]', now))
call('PEXPIRE', sess, lasts(exp))
index(key, { roomhash = roomhash, owner = owner, id = id })
assign(key, slot, epoch)
return answer({ 'new', { since = now, exp = string.format('%.0f', exp), epoch = epoch, slot = slot } })
