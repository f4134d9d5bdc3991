# Sourced, from the top of the project: makes .venv once, installs the project with the extras
# named as $1 (dev or demo), and activates it. Needs Python 3.11 or newer.
python=""
for candidate in "${PYTHON:-}" python3 python3.14 python3.13 python3.12 python3.11 python; do
  if [[ -n "$candidate" ]] && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    python="$candidate"
    break
  fi
done
if [[ -z "$python" ]]; then
  echo "Python 3.11 or newer is needed; set PYTHON to it" >&2
  exit 1
fi
[[ -x .venv/bin/python ]] || "$python" -m venv .venv
source .venv/bin/activate
stamp=".venv/installed-$1"
if [[ ! -e "$stamp" || pyproject.toml -nt "$stamp" ]]; then
  echo "Installing i2igalip and its packages into .venv ..." >&2
  pip install --quiet --disable-pip-version-check --editable ".[$1]"
  touch "$stamp"
fi
