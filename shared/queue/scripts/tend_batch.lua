-- Give a sign of life for a batch that is being read or canceled.  KEYS batch  ARGV id  → its state | nil
-- Safe twice: the later one counts.
allow_writes()  -- an upload that waits while Redis is out of memory would be taken for one that has broken off
redis.call('ZADD', UPLOADS, 'XX', now, ARGV[1])
return redis.call('HGET', KEYS[1], 'state')
