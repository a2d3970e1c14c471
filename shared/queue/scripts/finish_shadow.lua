-- Entries of a shadow's lane have been predicted, or left out: their results go to a stream of their own, for the recorder,
-- and the entries are deleted with their images.
-- KEYS shadow's lane, its results
-- ARGV results_cap model, then (entry prediction version key state output error code agrees predict_ms)…; state '': left out
-- → results written, results for which the stream was full
-- Safe twice, and by two workers: acts only on entries that are still pending.
allow_writes()
local SHADOW, RESULTS = unpack(KEYS)
local RESULTS_CAP, MODEL = tonumber(ARGV[1]), ARGV[2]
local written, full = 0, 0
for i = 3, #ARGV, 10 do
  local entry, prediction, version, key, state, output, error, code, agrees, predict_ms = unpack(ARGV, i, i + 9)
  if redis.call('EXISTS', SHADOW) == 1 and redis.call('XPENDING', SHADOW, WORKERS, entry, entry, 1)[1] then
    if state ~= '' and redis.call('XLEN', RESULTS) >= RESULTS_CAP then
      full = full + 1
    elseif state ~= '' then
      redis.call('XADD', RESULTS, '*', 'prediction', prediction, 'model', MODEL, 'version', version, 'key', key,
        'state', state, 'output', output, 'error', error, 'code', code, 'agrees', agrees, 'predict_ms', predict_ms,
        'created', now)
      written = written + 1
    end
    drop(SHADOW, entry)
  end
end
return {written, full}
