#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Run one step of set-up and say how long it took: step.sh TITLE REMEDY COMMAND…
# A failed step prints the end of its output, its title and the remedy. The whole output goes to .build/setup.log.
title=$1
remedy=$2
shift 2
log=.build/setup.log
mkdir -p .build
printf '%s …' "$title"
printf '\n# %s\n# %s\n' "$title" "$*" >>"$log"
begun=$(wc -l <"$log")
start=$(date +%s)
(
  # The pause holds no output open: whoever reads this step's output would wait for it.
  while sleep 20 >/dev/null 2>&1; do
    printf ' %ss' "$(($(date +%s) - start))"
  done
) &
ticker=$!
"$@" >>"$log" 2>&1 &
step=$!
trap 'kill "$step" "$ticker" 2>/dev/null; printf " stopped.\nRun the same make command again: finished steps are kept.\n"; exit 130' INT TERM
wait "$step"
result=$?
kill "$ticker" 2>/dev/null
took=$(($(date +%s) - start))
if [ "$result" -eq 0 ]; then
  printf ' done in %s s\n' "$took"
  exit 0
fi
printf ' failed after %s s\n' "$took"
tail -n "+$((begun + 1))" "$log" | tail -n 15 | sed 's/^/  | /'
printf 'Failed step: %s (all of its output: %s)\n  → %s\n' "$title" "$log" "$remedy"
exit 1
