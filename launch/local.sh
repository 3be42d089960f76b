#!/usr/bin/env bash
# One line on a fresh machine: makes .venv, installs, and runs the main job.
#   bash launch/local.sh                                    configs/lenet_digits.py
#   bash launch/local.sh --config configs/lenet_mnist.py    or whatever cnnjax.main takes
set -euo pipefail
cd "$(dirname "$0")/.."
source launch/environment.sh ""  # without an argument of its own it would see those of this script
if [ $# -eq 0 ]; then
  set -- --config configs/lenet_digits.py
fi
exec .venv/bin/python -m cnnjax.main "$@"
