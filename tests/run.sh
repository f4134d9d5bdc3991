#!/usr/bin/env bash
# Every check of the project, in its own environment: bash tests/run.sh [--slow] [pytest options]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

source examples/environment.sh dev

marker=(-m "not slow")
if [[ "${1:-}" == "--slow" ]]; then
  marker=()
  shift
fi
ruff check .
ruff format --check .
mypy
pytest "${marker[@]}" --cov --cov-fail-under=90 "$@"
