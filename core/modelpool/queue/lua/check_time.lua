-- Has virtual time come as far as the first of all that wait? Asked where the tally lost something, because else that is no
-- damage: who is first may have cancelled. ARGV: repair ('1'), lines of models as keys name them. Returns {problem, line, …}.
local repair = ARGV[2] == '1'
local answer, first = {}, {}
for i = 3, #ARGV do
  local line = ARGV[i]:match('^[^:]*')
  local tag = tonumber(call('ZRANGE', key('line', ARGV[i]), 0, 0, 'WITHSCORES')[2])
  if tag and tag < (first[line] or math.huge) then first[line] = tag end
end
for line, tag in pairs(first) do
  if reached(line) < tag then
    answer[#answer + 1], answer[#answer + 2] = 'virtual time lost', line
    if repair then note(line, string.format('%.17g', tag)) end
  end
end
write_tally()
return answer
