# Sourced by the scripts beside it: makes .venv with what pyproject.toml asks for, once, and again when that changes.
# Usage: source launch/environment.sh [EXTRA]
extra="${1:-}"
python="${PYTHON:-python3}"
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
  echo "cnnjax needs Python 3.11 or newer; $python is not: name another with PYTHON=python3.11 bash $0" >&2
  exit 2
fi
if [ ! -x .venv/bin/python ]; then
  "$python" -m venv .venv
fi
mark=".venv/.installed${extra:+-$extra}"
if [ ! -e "$mark" ] || [ pyproject.toml -nt "$mark" ]; then
  echo "installing cnnjax${extra:+ with the $extra extra} into .venv (once; a few minutes)" >&2
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --editable ".${extra:+[$extra]}"
  touch "$mark"
fi
