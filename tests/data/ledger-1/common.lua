-- What all scripts begin with: names of keys, and the steps of which transitions consist.
-- `now` (ms, Redis' own clock) comes before this text; see dispatcher/store.py.

local AV = '{av}:'
local IDLE, NODES, LEASES, WATCH, OVER = AV .. 'idle', AV .. 'nodes', AV .. 'leases', AV .. 'watch', AV .. 'over'

local ALIVE = 5000        -- a node without a heartbeat for longer gets nothing
local UNACKED = 1500      -- the lease of a claim that no worker has taken yet
local AGAIN = 500         -- when a session that found no idle slot is looked at again
local EXPIRING = 30000    -- a token that expires sooner is no use for joining
local HOMELESS = 10000    -- how long a session that nobody was promised may wait for a slot
local STEADY = 60000      -- a session that was served for so long begins its tries again
local TRIES = 3           -- nodes that a session may have in a row
local NACKS = 4           -- claims that may be turned down before the next is put off
local HANDING = 20000     -- how long the old worker may stay while its replacement joins
local MAX_LIFE = 32
local REMEMBERED = 1000   -- sessions that are over and can still be asked about
local HOUR = 3600000
local INDEX = 25 * HOUR   -- longer than any session
local MAIL = 30000        -- letters and replies that nobody reads

local call = redis.call

-- All that a script has to say is one text, which is read faster than a list.
local answer = cjson.encode

local function hash(at)
  local rec, flat = {}, call('HGETALL', at)
  for i = 1, #flat, 2 do rec[flat[i]] = flat[i + 1] end
  return rec
end

local function session_of(key)
  return hash(AV .. 'sess:' .. key)
end

-- What anybody may see of a session.
local function shown(key, rec)
  rec.key, rec.join, rec.waiters = key, nil, nil
  return rec
end

local function node_of(slot)
  return (slot:gsub('/[^/]*$', ''))
end

local function number_of(slot)
  return slot:match('[^/]*$')
end

local function alive(node)
  local seen = call('ZSCORE', NODES, node)
  return seen and now - seen <= ALIVE
end

-- Tell a node something; the letter itself says only where to look.
local function post(node, letter)
  call('RPUSH', AV .. 'mbox:' .. node, letter)
  call('PEXPIRE', AV .. 'mbox:' .. node, MAIL)
end

-- Answer the dispatchers that wait for this claim.
local function reply(rec, settlement)
  for list in (rec.waiters or ''):gmatch('%S+') do
    call('RPUSH', AV .. 'reply:' .. list, rec.id .. ' ' .. rec.epoch .. ' ' .. settlement)
    call('PEXPIRE', AV .. 'reply:' .. list, MAIL)
  end
end

-- The longest idle slot of a node that lives; one of node `avoid` only where `strict` is not
-- asked for and there is no other.
local function pick(avoid, strict)
  local skipped, found = {}, nil
  while not found do
    local popped = call('ZPOPMIN', IDLE)
    if #popped == 0 then break end
    local node = node_of(popped[1])
    if alive(node) then
      if node == avoid then
        skipped[#skipped + 1] = popped
      else
        found = popped[1]
      end
    end
  end
  if not found and not strict and #skipped > 0 then
    found = table.remove(skipped, 1)[1]
  end
  for _, each in ipairs(skipped) do call('ZADD', IDLE, each[2], each[1]) end
  return found
end

-- The slot is nobody's; it is idle again when its node says so.
local function free(slot, key, epoch)
  local node = AV .. 'node:' .. node_of(slot)
  if call('HGET', node, number_of(slot)) == key .. ' ' .. epoch then
    call('HDEL', node, number_of(slot))
  end
end

-- The node's slots, up to that number, are idle no more, but for those that are listed.
local function withdraw(node, most, listed)
  local gone = {}
  for number = 0, most do
    local each = string.format('%d', number)
    if not listed[each] then gone[#gone + 1] = node .. '/' .. each end
  end
  if #gone > 0 then call('ZREM', IDLE, unpack(gone)) end
end

-- A claim on a slot binds as long as the session is there, and its lease was not found to be out.
local function bound(slot, claim)
  local key, epoch = claim:match('^(%S+) (%S+)$')
  local at = call('HMGET', AV .. 'sess:' .. key, 'slot', 'epoch', 'waiting', 'from')
  return (at[1] == slot and at[2] == epoch and at[3] == '0') or at[4] == slot .. ' ' .. epoch
end

-- The lease of a session ran out, and its node is there after all: whether it may have its slot
-- again, which has been idle since, and may be somebody else's.
local function regain(key, slot, epoch)
  local node, number = AV .. 'node:' .. node_of(slot), number_of(slot)
  local claim = call('HGET', node, number)
  if claim and claim ~= key .. ' ' .. epoch and bound(slot, claim) then return false end
  call('HSET', node, number, key .. ' ' .. epoch)
  call('ZREM', IDLE, slot)
  return true
end

local function lived(life, state, reason)
  local steps = cjson.decode(life or '[]')
  steps[#steps + 1] = { state, now, reason or cjson.null }
  if #steps > MAX_LIFE then table.remove(steps, 1) end
  return cjson.encode(steps)
end

local function lasts(exp)
  return math.min(math.max(0, exp - now), INDEX) + 300000
end

local function index(key, rec)
  call('SADD', AV .. 'room:' .. rec.roomhash, key)
  call('PEXPIRE', AV .. 'room:' .. rec.roomhash, INDEX)
  if rec.owner ~= '' then
    call('SADD', AV .. 'owner:' .. rec.owner, key)
    call('PEXPIRE', AV .. 'owner:' .. rec.owner, INDEX)
  end
  call('SET', AV .. 'id:' .. rec.id, key, 'PX', INDEX)
end

local function unindex(key, rec)
  call('SREM', AV .. 'room:' .. rec.roomhash, key)
  if rec.owner ~= '' then call('SREM', AV .. 'owner:' .. rec.owner, key) end
end

-- Give the session to a slot. The letter is all that its node needs to look it up.
local function assign(key, slot, epoch)
  call('HSET', AV .. 'node:' .. node_of(slot), number_of(slot), key .. ' ' .. epoch)
  call('ZADD', LEASES, now + UNACKED, key)
  post(node_of(slot), 'serve ' .. key .. ' ' .. epoch)
end

-- The session is over: it is remembered for an hour, and so is its epoch, which the next
-- session of that key goes on from.
local function over(key, rec, state, reason, settlement)
  local sess, past = AV .. 'sess:' .. key, AV .. 'over:' .. rec.id
  if rec.slot ~= '' then free(rec.slot, key, rec.epoch) end
  unindex(key, rec)
  call('ZREM', LEASES, key)
  call('DEL', AV .. 'id:' .. rec.id)
  reply(rec, settlement or state)
  call('RENAME', sess, past)
  call('HDEL', past, 'join', 'waiters', 'from', 'until')
  call('HSET', past, 'key', key, 'state', state, 'since', now, 'reason', reason or '',
    'life', lived(rec.life, state, reason))
  call('PEXPIRE', past, HOUR)
  call('HSET', sess, 'epoch', rec.epoch, 'over', rec.id)
  call('PEXPIRE', sess, HOUR)
  call('ZADD', OVER, now, rec.id)
  call('PEXPIRE', OVER, HOUR)
  if call('ZCARD', OVER) > REMEMBERED then
    local oldest = call('ZPOPMIN', OVER)
    call('DEL', AV .. 'over:' .. oldest[1])
  end
end

-- Another slot for a session that has lost its own, or a place among those that wait for one.
-- While it waits, its epoch stays, so that whoever had it may come back to it.
local function move(key, rec, reason, slot)
  local sess = AV .. 'sess:' .. key
  local epoch = rec.epoch
  if slot then
    epoch = string.format('%d', rec.epoch + 1)
    if rec.slot ~= '' then free(rec.slot, key, rec.epoch) end
    call('HSET', sess, 'slot', slot, 'epoch', epoch, 'acked', '0', 'waiting', '0')
    assign(key, slot, epoch)
  else
    call('HSET', sess, 'acked', '0', 'waiting', '1')
    call('ZADD', LEASES, now + AGAIN, key)
  end
  if rec.state ~= 'claimed' then
    call('HSET', sess, 'state', 'claimed', 'since', now, 'reason', reason,
      'life', lived(rec.life, 'claimed', reason))
  end
  return epoch
end

-- How often a session was given to a node in a row.
local function tries(rec)
  if rec.since_ack and rec.since_ack ~= '' and now - rec.since_ack >= STEADY then return 0 end
  return tonumber(rec.tries)
end

-- Move a session whose node has lost it, if anybody may still try.
local function again(key, rec, reason, avoid)
  local spent = tries(rec)
  if rec.exp - now < EXPIRING then
    over(key, rec, 'failed', reason .. ' Its token expires too soon for another worker.')
    return 'failed'
  end
  if spent >= TRIES then
    over(key, rec, 'failed', reason)
    return 'failed'
  end
  if rec.ever == '0' and now - rec.born > HOMELESS then
    over(key, rec, 'failed', 'No worker took it in time.')
    return 'failed'
  end
  local slot = pick(avoid)
  move(key, rec, reason, slot)
  if slot then
    call('HSET', AV .. 'sess:' .. key, 'tries', spent + 1, 'since_ack', '')
    return 'moved'
  end
  return 'waits'
end

-- Have a live session end: its nodes are told, and its place among the living is free.
local function tell_end(key, rec, reason)
  if rec.state == 'ending' then return end
  if rec.slot == '' then
    over(key, rec, 'ended', reason)
    return
  end
  call('HSET', AV .. 'sess:' .. key, 'state', 'ending', 'since', now, 'reason', reason,
    'life', lived(rec.life, 'ending', reason), 'waiters', '')
  reply(rec, 'ended')
  unindex(key, rec)
  post(node_of(rec.slot), 'end ' .. key .. ' ' .. rec.id)
  if rec.from then post(node_of(rec.from), 'end ' .. key .. ' ' .. rec.id) end
end

-- What the record says to a node that holds session `id` at `epoch` on `slot`: ok, back (its
-- lease ran out, and nobody else has it yet), handing (it was handed off and may stay a little
-- longer), end, fenced, or missing (the record is lost, or older than what the node holds).
local function verdict(rec, id, epoch, slot)
  local recorded = tonumber(rec.epoch or '0')
  epoch = tonumber(epoch)
  if recorded < epoch then return 'missing' end
  if rec.over then return rec.over == id and 'end' or 'fenced' end
  if recorded > epoch then
    if rec.id == id and rec.from == slot .. ' ' .. string.format('%d', epoch) and now < tonumber(rec['until']) then
      return rec.state == 'ending' and 'end' or 'handing'
    end
    return 'fenced'
  end
  if rec.id ~= id or rec.slot ~= slot then return 'fenced' end
  if rec.state == 'ending' then return 'end' end
  return rec.waiting == '1' and 'back' or 'ok'
end

