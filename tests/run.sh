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
# A process a core, each with one thread: more would stand in each other's way.
OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" pytest -n auto "${marker[@]}" --cov --cov-fail-under=90 "$@"
