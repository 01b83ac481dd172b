#!/usr/bin/env bash
# All measurements on one Linux machine with an NVIDIA GPU, without a network, in ten minutes:
#
#   benchmarks/on_device.sh pack FOLDER    where there is a network: fetch the wheels that such a machine lacks
#   benchmarks/on_device.sh run OUT        on the machine: install them, run every step, write OUT/results.json and .md
#   benchmarks/on_device.sh table FILE     the tables of a results.json
#
# Variables: DEVICE (cuda; cpu for a dry run), PYTHON (python3), WHEELS (FOLDER; benchmarks/wheels unless it is set),
# PACK_PYTHON (3.12: the machine's), PACK_TORCH (1: with torch's CUDA build and all of requirements.lock, about 3 GB, for a
# machine that has Python alone). Options after OUT go on to `python -m benchmarks.on_device run`: --quick, --budget SECONDS.
# A step that fails is recorded with the end of what it said, and the next one goes on. Nothing is fetched by `run`.
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")
python=${PYTHON:-python3}
wheels=${WHEELS:-$here/wheels}

usage() {
  sed -n '2,14p' "${BASH_SOURCE[0]}" | sed 's/^# \{0,1\}//'
}

# The names in a file, without comments.
names() {
  grep -vE '^[[:space:]]*(#|$)' "$1"
}

fetch() { # FOLDER, then pip's arguments: wheels for the machine's Python on Linux with x86-64
  local folder=$1 version=${PACK_PYTHON:-3.12} platforms=() glibc
  shift
  for glibc in 39 35 34 31 28 27 24 17 12 5; do platforms+=(--platform "manylinux_2_${glibc}_x86_64"); done
  mkdir -p "$folder"
  "$python" -m pip download --quiet --only-binary=:all: --implementation cp --python-version "$version" \
    "${platforms[@]}" --platform manylinux2014_x86_64 --platform manylinux1_x86_64 --platform any -d "$folder" "$@"
}

pack() {
  local folder=$1 wanted=() name failed=0
  mkdir -p "$folder" || return 1
  git -C "$root" describe --always --dirty --abbrev=12 >"$folder/commit.txt" 2>/dev/null || true
  if [ "${PACK_TORCH:-}" = 1 ]; then
    grep -vE '^(#|pywin32|waitress)' "$root/requirements.lock" >"$folder/all.txt"
    fetch "$folder/base" -r "$folder/all.txt" -c "$root/requirements-cuda.lock" || failed=1
  else
    while read -r name; do
      wanted+=("$(grep -m 1 -E "^$name==" "$root/requirements.lock" | cut -d ' ' -f 1)")
    done < <(names "$here/on_device/packages.txt")
    fetch "$folder/base" --no-deps "${wanted[@]}" || failed=1
  fi
  # One by one: without one of them pfl-research is left out, and everything else goes on.
  while read -r name; do
    fetch "$folder/pfl" --no-deps "$name" || { echo "pack: $name was not to be had"; }
  done < <(names "$here/on_device/pfl.txt")
  du -sh "$folder"
  return "$failed"
}

# Install a folder of wheels into another one: by pip, else by unpacking them, as a wheel is an archive.
install() { # WHEELS, TARGET
  ls "$1"/*.whl >/dev/null 2>&1 || { echo "no wheels in $1"; return 1; }
  mkdir -p "$2"
  "$python" -m pip install --quiet --no-index --no-deps --no-compile --no-cache-dir --disable-pip-version-check \
    --upgrade --target "$2" "$1"/*.whl && return 0
  "$python" -m pip --version >/dev/null 2>&1 && return 1 # it has said why: for another Python, say
  echo "there is no pip; the wheels of $1 are unpacked"
  local wheel
  for wheel in "$1"/*.whl; do "$python" -m zipfile -e "$wheel" "$2" || return 1; done
}

run() {
  local out=$1 device=${DEVICE:-cuda}
  shift
  mkdir -p "$out" || return 1
  out=$(cd "$out" && pwd)
  export FEDSTUDY_HOME=${FEDSTUDY_HOME:-$out/home} PYTHONUNBUFFERED=1 ON_DEVICE_NOT_INSTALLED=""
  export PYTHONPATH=${PYTHONPATH:-} ON_DEVICE_PACKAGES="" PFL_PACKAGES="" MEASURED_COMMIT=${MEASURED_COMMIT:-}
  if ! command -v "$python" >/dev/null; then
    echo "{\"quick\": false, \"device\": \"$device\", \"steps\": {}, \"failed\": \"there is no $python\"}" >"$out/results.json"
    echo "there is no $python: set PYTHON"
    return 1
  fi
  if install "$wheels/base" "$out/packages" >"$out/install.log" 2>&1; then
    export ON_DEVICE_PACKAGES=$out/packages PYTHONPATH=$out/packages${PYTHONPATH:+:$PYTHONPATH}
  else
    ON_DEVICE_NOT_INSTALLED="base: $(tail -c 500 "$out/install.log")"
  fi
  if install "$wheels/pfl" "$out/pfl-packages" >>"$out/install.log" 2>&1; then
    export PFL_PACKAGES=$out/pfl-packages
  else
    ON_DEVICE_NOT_INSTALLED+=" pfl: $(tail -c 500 "$out/install.log")"
  fi
  if ! git -C "$root" rev-parse --short HEAD >/dev/null 2>&1 && [ -f "$wheels/commit.txt" ]; then
    MEASURED_COMMIT=${MEASURED_COMMIT:-$(cat "$wheels/commit.txt")}
  fi
  cd "$root" || return 1
  "$python" -m benchmarks.on_device run "$out" --device "$device" "$@"
}

case "${1:-}" in
  pack) [ $# -eq 2 ] || { usage; exit 2; }; pack "$2" ;;
  run) [ $# -ge 2 ] || { usage; exit 2; }; shift; run "$@" ;;
  table) [ $# -eq 2 ] || { usage; exit 2; }; cd "$root" && "$python" -m benchmarks.on_device table "$2" ;;
  *) usage; [ "${1:-}" = --help ] || exit 2 ;;
esac
