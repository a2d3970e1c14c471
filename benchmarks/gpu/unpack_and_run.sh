#!/usr/bin/env bash
# On the GPU machine, in the folder that holds .gpu: bash .gpu/run.sh [options of python -m benchmarks.gpu],
# or bash .gpu/run.sh checks [options of python -m benchmarks.gpu.checks].
# The figures are in $OUT where that is set, else in the folder that is printed; COMMAND="python3 -m ..." runs something else.
set -u
from=$PWD/.gpu; root=${ROOT:-$HOME/darkroom-gpu}; out=${OUT:-$root}; mkdir -p "$root/site" "$out"
[ -f "$root/site/.unpacked" ] || { tar -C "$root/site" -xJf "$from/site.tar.xz" && touch "$root/site/.unpacked"; }
rm -rf "$root/project"; mkdir -p "$root/project"; tar -C "$root/project" -xzf "$from/project.tar.gz"
export PYTHONPATH=$root/site:$root/project PYTHONUNBUFFERED=1 XDG_RUNTIME_DIR=/tmp
unset PYTHONDONTWRITEBYTECODE
cd "$root/project" || exit 1
# Compiled once by all cores, not by each of the processes of a stack at once.
python3 -m compileall -q -j 0 "$root/site" "$root/project" >/dev/null 2>&1
if [ "${1:-}" = checks ]; then
  shift
  COMMAND="python3 -W ignore -m benchmarks.gpu.checks --keep $root/kept --out $out"
fi
# shellcheck disable=SC2086  one argument a word
${COMMAND:-python3 -W ignore -m benchmarks.gpu --keep "$root/kept" --json "$out/gpu.json"} "$@" 2>&1 | tee "$out/gpu.txt"
code=${PIPESTATUS[0]}
grep -hE '"level":"(error|critical)"' "$root"/kept/home/logs/*.log 2>/dev/null | tail -5 | cut -c1-500
tar -C "$root/kept/home" -czf "$out/logs.tar.gz" logs 2>/dev/null
exit "$code"
