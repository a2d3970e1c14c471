-- Ring a bell unless it rings.  KEYS bell  ARGV queue task
-- Safe twice: the second time it rings.
allow_writes()
ring(KEYS[1], ARGV[1], ARGV[2])
return 1
