-- A sign of life of whoever reads or cancels a batch.  KEYS batch  ARGV id  → its state | nil
-- Safe twice: it is a later sign of life.
redis.call('ZADD', UPLOADS, 'XX', now, ARGV[1])
return redis.call('HGET', KEYS[1], 'state')
