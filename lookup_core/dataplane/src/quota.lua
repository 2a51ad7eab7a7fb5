-- One token bucket: take tokens for what is asked now, and a few ahead of need. Redis's own clock decides.
-- KEYS[1] the bucket (tokens, at, second, out); KEYS[2] what each replica holds ahead in this second.
-- ARGV: rate a second, capacity, demand, exact (1: all of it or nothing), ahead wanted, still held, ceiling of all that
-- is held ahead, replica.
-- Gives: taken, ahead, milliseconds left of this second, milliseconds until a refused demand can be met.
local rate, capacity = tonumber(ARGV[1]), tonumber(ARGV[2])
local demand, exact = tonumber(ARGV[3]), ARGV[4] == '1'
local ahead, held, ceiling, replica = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8]

local time = redis.call('TIME')
local second, now = tonumber(time[1]), tonumber(time[1]) + tonumber(time[2]) / 1000000
local bucket = redis.call('HMGET', KEYS[1], 'tokens', 'at', 'second', 'out')
local tokens, at = tonumber(bucket[1]) or capacity, tonumber(bucket[2]) or now
-- A clock that was set back gives nothing, and takes nothing.
tokens = math.min(capacity, tokens + math.max(0, now - at) * rate)

-- A demand above the capacity is met by a full bucket, which then owes the rest: the rate holds in the long run.
local needed = math.min(demand, capacity)
local taken = 0
if exact then
    if tokens >= needed then taken = demand end
else
    taken = math.max(0, math.min(demand, math.floor(tokens)))
end
tokens = tokens - taken

-- What is held ahead expires with its second; all replicas together hold no more than the ceiling.
local out = tonumber(bucket[4]) or 0
if tonumber(bucket[3]) ~= second then
    redis.call('DEL', KEYS[2])
    out = 0
end
if ahead > 0 or held > 0 then -- a refill; other calls say nothing of what is held
    if second + 1 - now < 0.02 then ahead = 0 end -- it would expire before it is used
    local mine = tonumber(redis.call('HGET', KEYS[2], replica)) or 0
    out = math.max(0, out - mine)
    ahead = math.floor(math.max(0, math.min(ahead, ceiling - out - held, tokens)))
    tokens = tokens - ahead
    out = out + held + ahead
    redis.call('HSET', KEYS[2], replica, held + ahead)
    redis.call('PEXPIRE', KEYS[2], 2000)
end

redis.call('HSET', KEYS[1], 'tokens', tostring(tokens), 'at', string.format('%.6f', now), 'second', second, 'out', out)
-- Kept until it would be full anyway.
redis.call('PEXPIRE', KEYS[1], math.ceil((capacity - tokens) / rate * 1000) + 2000)

local wait = 0
if taken < demand then
    local short = exact and (needed - tokens) or (1 - tokens)
    wait = math.max(1, math.ceil(short / rate * 1000))
end
return {taken, ahead, math.floor((second + 1 - now) * 1000), wait}
