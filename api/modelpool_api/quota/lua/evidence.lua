-- Count what is seen of whoever asks. ARGV from `first` on: name, member, life in ms and limit of each count, in turn.
-- Without a member it counts requests, with one it counts (about) how many different members came; it lives from the
-- first on. Without `counts` it only looks. Returns what each stands at, and whether one is above its limit ('' for none).
local function observe(first, counts)
  local seen, unusual = {}, false
  for i = first, #ARGV, 4 do
    local name, member, life, limit = unpack(ARGV, i, i + 3)
    name = KEYS[1] .. ':seen:' .. name
    local count, begins
    if member == '' then
      count = counts and call('INCR', name) or tonumber(call('GET', name) or 0)
      begins = counts and count == 1
    else
      local grows = counts and call('PFADD', name, member) == 1
      count = call('PFCOUNT', name)
      begins = grows and count == 1
    end
    if begins then call('PEXPIRE', name, life) end
    seen[#seen + 1] = count
    unusual = unusual or (limit ~= '' and count > tonumber(limit))
  end
  return seen, unusual
end
