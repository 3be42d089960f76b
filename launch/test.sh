#!/usr/bin/env bash
# The tests, on a fresh machine or a used one: bash launch/test.sh [pytest arguments]
set -euo pipefail
cd "$(dirname "$0")/.."
source launch/environment.sh test
exec .venv/bin/python -m pytest --numprocesses 2 "$@"
