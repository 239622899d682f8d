#!/bin/sh
# Removes what has outlived its use from the result store's volume: results after 24 h, inputs after 26 h (the same lives
# as in core/modelpool/store/sweep.py), what an interrupted upload left after an hour.
#   store-expire.sh [FOLDER [SECONDS BETWEEN ROUNDS; 0 for one round]]
set -u
folder=${1:-/var/lib/modelpool-store}
pause=${2:-600}

asleep=
trap '[ -z "$asleep" ] || kill "$asleep"; exit 0' TERM INT

expire() {
  if [ -d "$folder/$1" ]; then
    find "$folder/$1" -type f -mmin "+$2" -exec rm -f {} +
  fi
}

while :; do
  expire results 1440
  expire inputs 1560
  expire .incoming 60
  [ "$pause" -gt 0 ] || exit 0
  # In the background, so that the signal that ends a pod is not kept waiting.
  sleep "$pause" &
  asleep=$!
  wait "$asleep"
done
