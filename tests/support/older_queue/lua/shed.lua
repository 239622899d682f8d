-- Count a job that admission turned away. ARGV: model.
demand(ARGV[2])
