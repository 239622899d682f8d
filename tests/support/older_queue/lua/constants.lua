local LINES = {'paid','free'}
local WEIGHT = {paid=1,account=2,anonymous=1}
local MAX_ATTEMPTS = 3
local RECORD_MS = 86400000
local SLACK_MS = 3600000
local CACHE_MS = 43200000
local REFUNDS_MS = 172800000
local DEMAND_MS = 90000000
local LONGEST_LEASE_MS = 600000
local MENDED_LEASE_MS = 30000
local CHUNK = 64
local KINDS = {job=true,line=true,batch=true,shape=true,due=true,flight=true,followers=true,debt=true,tally=true,idempotency=true,cache=true,lease=true,demand=true,refunds=true}
local TICKET_DIGITS = 10
local FLIGHT_DIGITS = 3
local SLICE = 63
local SLICES = 100
local WORKER_LOST = [[{"code":"worker_lost","message":"The worker stopped answering while it ran this job, three times in a row."}]]
local EXPIRED = [[{"code":"expired","message":"The job did not finish before its deadline."}]]
local REQUEST_LOST = [[{"code":"request_lost","message":"Redis has lost what this job was to do: send it again."}]]
