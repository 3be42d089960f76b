#!/usr/bin/env bash
# The tests, on a fresh machine or a used one; those that need PyTorch or Keras run where these are installed.
#   bash launch/test.sh [pytest arguments]            about ten minutes on two cores
#   bash launch/test.sh --all [pytest arguments]      every variant of every net, every reference: hours
set -euo pipefail
cd "$(dirname "$0")/.."
source launch/environment.sh test
which=(-m "not slow")
if [ "${1:-}" = "--all" ]; then
  shift
  which=()
  export JAX_DISABLE_MOST_OPTIMIZATIONS=0
fi
exec .venv/bin/python -m pytest --numprocesses 2 --dist worksteal "${which[@]}" "$@"
