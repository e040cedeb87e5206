-- What all scripts begin with: names of keys, and the steps of which transitions consist.
-- `now` (ms, Redis' own clock) comes before this text; see dispatcher/ledger/store.py.

local AV = '{av}:'
local IDLE, NODES, LEASES, WATCH, OVER = AV .. 'idle', AV .. 'nodes', AV .. 'leases', AV .. 'watch', AV .. 'over'
local ASIDE = AV .. 'aside'

local VERSION = 2         -- of the records that are written here; one that says none is of the first
local ALIVE = 5000        -- a node without a heartbeat for longer gets nothing
local UNACKED = 1500      -- the lease of a claim that no worker has taken yet
local AGAIN = 500         -- when a session that found no idle slot is looked at again
local REWRITE = 2000      -- nodes have so long to write what they hold where Redis has lost it
local EXPIRING = 30000    -- a token that expires sooner is no use for joining
local HOMELESS = 10000    -- how long a session that nobody was promised may wait for a slot
local STEADY = 60000      -- a session that was served for so long begins its tries again
local TRIES = 3           -- nodes that a session may have in a row
local NACKS = 4           -- claims that may be turned down before the next is put off
local HANDING = 20000     -- how long the old worker may stay while its replacement joins
local MAX_LIFE = 32
local MAX_SLOTS = 256     -- of one node
local REMEMBERED = 1000   -- sessions that are over and can still be asked about
local SET_ASIDE = 100     -- keys that were set aside and can still be looked at
local MAX_REFUSED = 32    -- refusals that one call reports
local HOUR = 3600000
local INDEX = 25 * HOUR   -- longer than any session
local MAIL = 30000        -- how long commands and replies are kept that are not read
local MOST = 9007199254740992  -- 2^53: greater whole numbers are not exact

-- The answer of a script is one text, which is read faster than a list.
local answer = cjson.encode

-- What cannot be read is refused: the caller logs and counts it. A refusal is a line of its own
-- below the answer.
local refused = {}

local function refuse(kind, at, why)
  if #refused < MAX_REFUSED then refused[#refused + 1] = { kind, at, why } end
end

local function with_refusals(result)
  if #refused == 0 then return result end
  return (result or 'null') .. '\n' .. cjson.encode(refused)
end

local call

-- Move a key out of the way, for an operator to look at within an hour.
local function set_aside(at, kind, why)
  local to = ASIDE .. ':' .. at:sub(#AV + 1)
  call('RENAME', at, to)
  call('PEXPIRE', to, HOUR)
  call('ZADD', ASIDE, now, to)
  call('PEXPIRE', ASIDE, HOUR)
  if call('ZCARD', ASIDE) > SET_ASIDE then call('DEL', call('ZPOPMIN', ASIDE)[1]) end
  refuse(kind, at, why)
end

-- Without `leases` no lost session would be found: all are listed again, to be looked at soon. The
-- node that serves one renews its lease before that.
local function list_again()
  for _, at in ipairs(redis.call('KEYS', AV .. 'sess:*')) do
    redis.call('ZADD', LEASES, 'NX', now + 2 * REWRITE, at:sub(#AV + 6))
  end
end

-- Every command goes this way. A key of another type than ours is set aside, and the command
-- finds none; any other error ends the script.
call = function(command, at, ...)
  local result = redis.pcall(command, at, ...)
  if type(result) ~= 'table' or not result.err then return result end
  if result.err:find('WRONGTYPE', 1, true) then
    set_aside(at, 'type', 'It is of another type.')
    if at == LEASES then list_again() end
    if at:sub(1, #AV + 5) == AV .. 'sess:' then
      redis.call('HSET', at, 'aside', now)
      redis.call('PEXPIRE', at, HOUR)
    end
  end
  return redis.call(command, at, ...)
end

local function hash(at)
  local rec, flat = {}, call('HGETALL', at)
  for i = 1, #flat, 2 do rec[flat[i]] = flat[i + 1] end
  return rec
end

-- Whether a text is UTF-8, as far as its bytes tell; who reads it looks again.
local function is_text(text)
  if not text:find('[\128-\255]') then return true end
  text = text:gsub('[\194-\223][\128-\191]', ''):gsub('[\224-\239][\128-\191][\128-\191]', '')
  return not text:gsub('[\240-\244][\128-\191][\128-\191][\128-\191]', ''):find('[\128-\255]')
end

local function is_whole(text)
  return text:find('^%d+$') ~= nil and tonumber(text) < MOST
end

local function is_slot(text)
  local number = text:match('^[%w_.@-]+/([1-9]%d*)$')
  return number ~= nil and tonumber(number) <= MAX_SLOTS
end

local function is_flag(text)
  return text == '0' or text == '1'
end

local function is_word(text)
  return text:find('^%S+$') ~= nil
end

-- What scripts compute with, of a session that is not over. What else is in a record is for those
-- who read it (dispatcher/ledger/fields.py).
local FIELDS = {
  id = function(text) return #text == 16 and text:find('^%x+$') ~= nil end,
  roomhash = is_word,
  epoch = function(text) return is_whole(text) and text:sub(1, 1) ~= '0' end,
  slot = function(text) return text == '' or is_slot(text) end,
  state = function(text)
    return text == 'claimed' or text == 'joining' or text == 'active' or text == 'ending'
      or text == 'ended' or text == 'failed'
  end,
  owner = function(text) return not text:find('%s') end,
  acked = is_flag,
  waiting = is_flag,
  ever = is_flag,
  since = is_whole,
  born = is_whole,
  exp = is_whole,
  tries = is_whole,
  nacks = is_whole,
  attempts = is_whole,
  renewals = is_whole,
  since_ack = function(text) return text == '' or is_whole(text) end,
  from = function(text)
    local slot, epoch = text:match('^(%S+) (%S+)$')
    return slot ~= nil and is_slot(slot) and is_whole(epoch)
  end,
  ['until'] = is_whole,
  next = is_whole,
  aside = is_whole,
}
-- What may be missing, and what it is then: another version may do without.
local DEFAULTS = {
  owner = '', reason = '', acked = '0', waiting = '0', ever = '1', tries = '1', nacks = '0',
  attempts = '0', renewals = '0', waiters = '', trace = '', counters = '{}', life = '[]', join = '',
  since = string.format('%d', now), born = string.format('%d', now),
  exp = string.format('%d', now + 24 * HOUR),
}
local NEEDED = { 'id', 'roomhash', 'epoch', 'slot', 'state' }

-- What is wrong with a record, or nothing. Fields that this version does not know are left alone.
local function wrong(rec)
  for name, text in pairs(rec) do
    if not is_text(text) then return 'A field is no UTF-8.' end
    local check = FIELDS[name]
    if check and not check(text) then return 'Its ' .. name .. ' is none.' end
  end
  if rec.from and not rec['until'] then return 'It has no until.' end
  if rec.over or rec.aside then
    if rec.id then return 'It is over, and is not.' end
    return rec.over and not rec.epoch and 'It has no epoch.' or nil
  end
  for _, name in ipairs(NEEDED) do
    if not rec[name] then return 'It has no ' .. name .. '.' end
  end
  for name, text in pairs(DEFAULTS) do
    if not rec[name] then rec[name] = text end
  end
  if rec.slot == '' and rec.waiting == '0' then return 'It has no slot, and waits for none.' end
end

-- Set a record aside. The node that serves the session finds it missing, and writes it anew; until
-- that may have happened, no other session gets its key or its room. Epochs go on from it.
local function discard(key, rec, why)
  local at = AV .. 'sess:' .. key
  set_aside(at, 'record', why)
  call('ZREM', LEASES, key)
  call('HSET', at, 'aside', now)
  if rec.epoch and FIELDS.epoch(rec.epoch) then
    local least = math.max(0, rec.epoch - (rec.from and 2 or 1))
    if least > 0 then call('HSET', at, 'epoch', string.format('%d', least)) end
    call('HSET', at, 'next', string.format('%d', rec.epoch + 1))
  end
  call('PEXPIRE', at, HOUR)
end

-- The record of that key, all of which can be computed with; of a newer version only that it is
-- one, and whose it is, as it is left alone.
local function session_of(key)
  local at = AV .. 'sess:' .. key
  local rec = hash(at)
  if next(rec) == nil then return rec end
  if rec.v and is_whole(rec.v) and tonumber(rec.v) > VERSION then
    refuse('version', at, 'It is of version ' .. rec.v .. '.')
    return { newer = true, epoch = rec.epoch, of = rec.id, slot = rec.slot }
  end
  local why = rec.v and not is_whole(rec.v) and 'Its v is none.' or wrong(rec)
  if why then
    discard(key, rec, why)
    return hash(at)
  end
  return rec
end

-- Whether a record was set aside so lately that its session may be written anew.
local function may_return(rec)
  local since = rec.aside and tonumber(rec.aside)
  return since and math.abs(now - since) < REWRITE
end

-- What anybody may see of a session.
local function shown(key, rec)
  rec.key, rec.join, rec.waiters = key, nil, nil
  return rec
end

-- A number that stands in `watch`; nothing where it is none, or later than it can be.
local function watched(name, latest)
  local text = call('HGET', WATCH, name)
  if not text then return nil end
  local number = tonumber(text)
  if number and number <= latest then return number end
  refuse('number', WATCH, 'Its ' .. name .. ' is none.')
end

local function node_of(slot)
  return (slot:gsub('/[^/]*$', ''))
end

local function number_of(slot)
  return slot:match('[^/]*$')
end

-- Whether a node has sent a heartbeat lately. One from the future is none: it would count for ever.
local function alive(node)
  local seen = tonumber(call('ZSCORE', NODES, node) or nil)
  return seen and math.abs(now - seen) <= ALIVE
end

-- How many slots a node has reported.
local function slots_of(node)
  local text = call('HGET', AV .. 'node:' .. node, 'slots')
  if not text then return 0 end
  if is_whole(text) and tonumber(text) <= MAX_SLOTS then return tonumber(text) end
  refuse('number', AV .. 'node:' .. node, 'Its slots are none.')
  return 0
end

-- Put a command into a node's mailbox; it has no more than where to look.
local function post(node, command)
  call('RPUSH', AV .. 'mbox:' .. node, command)
  call('PEXPIRE', AV .. 'mbox:' .. node, MAIL)
end

-- Answer the dispatchers that wait for this claim.
local function reply(rec, resolution)
  for list in (rec.waiters or ''):gmatch('%S+') do
    call('RPUSH', AV .. 'reply:' .. list, rec.id .. ' ' .. rec.epoch .. ' ' .. resolution)
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
    if not is_slot(popped[1]) then
      refuse('slot', IDLE, 'A slot is none.')
    elseif alive(node) and tonumber(number_of(popped[1])) <= slots_of(node) then
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

-- The slot has no session; it is idle again when its node offers it.
local function free(slot, key, epoch)
  local node = AV .. 'node:' .. node_of(slot)
  if call('HGET', node, number_of(slot)) == key .. ' ' .. epoch then
    call('HDEL', node, number_of(slot))
  end
end

-- The node's slots, up to that number, are idle no more, but for those that are listed.
local function withdraw(node, most, listed)
  local gone = {}
  for number = 0, math.min(most, MAX_SLOTS) do
    local each = string.format('%d', number)
    if not listed[each] then gone[#gone + 1] = node .. '/' .. each end
  end
  if #gone > 0 then call('ZREM', IDLE, unpack(gone)) end
end

-- A claim on a slot binds as long as the session is there, and its lease was not found expired.
local function bound(slot, claim)
  local key, epoch = claim:match('^(%S+) (%S+)$')
  if not key then return false end
  local at = call('HMGET', AV .. 'sess:' .. key, 'slot', 'epoch', 'waiting', 'from')
  return (at[1] == slot and at[2] == epoch and at[3] == '0') or at[4] == slot .. ' ' .. epoch
end

-- The lease of a session has expired, and its node is there after all: whether it may have its slot
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
  local read, before = pcall(cjson.decode, life or '[]')
  local steps = {}
  for _, step in ipairs(read and type(before) == 'table' and before or {}) do
    if type(step) == 'table' and type(step[1]) == 'string' and type(step[2]) == 'number' then
      steps[#steps + 1] = { step[1], step[2], type(step[3]) == 'string' and step[3] or cjson.null }
    end
  end
  steps[#steps + 1] = { state, now, reason or cjson.null }
  while #steps > MAX_LIFE do table.remove(steps, 1) end
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

-- Give the session to a slot. The command is all that its node needs to look it up.
local function assign(key, slot, epoch)
  call('HSET', AV .. 'node:' .. node_of(slot), number_of(slot), key .. ' ' .. epoch)
  call('ZADD', LEASES, now + UNACKED, key)
  post(node_of(slot), 'serve ' .. key .. ' ' .. epoch)
end

-- The session is over: it is remembered for an hour, and so is its epoch, which the next
-- session of that key goes on from.
local function over(key, rec, state, reason, resolution)
  local sess, past = AV .. 'sess:' .. key, AV .. 'over:' .. rec.id
  if rec.slot ~= '' then free(rec.slot, key, rec.epoch) end
  unindex(key, rec)
  call('ZREM', LEASES, key)
  call('DEL', AV .. 'id:' .. rec.id)
  reply(rec, resolution or state)
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

-- Move a session whose node has lost it, if another node may still try.
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

-- Have a live session end: its nodes get a command, and its room and owner do not count it.
local function request_end(key, rec, reason)
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

-- The verdict for a node that holds session `id` at `epoch` on `slot`: ok, back (its
-- lease has expired, and no other node has it yet), handing (it was handed off and may stay a little
-- longer), end, fenced, missing (the record is lost, or older than what the node holds), or newer
-- (another version has written it, for this node: it goes on, and nothing is written).
local function verdict(rec, id, epoch, slot)
  local recorded = tonumber(rec.epoch or nil) or 0
  if rec.newer then
    local theirs = recorded > tonumber(epoch) or (rec.epoch == epoch and (rec.of ~= id or rec.slot ~= slot))
    return theirs and 'fenced' or 'newer'
  end
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

