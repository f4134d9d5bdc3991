#!/usr/bin/env bash
# Report pages in a headless Chromium: bash tests/report/run.sh [pytest options]
# Installs Chromium where apt-get and root are there, and says why not elsewhere.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source examples/environment.sh dev

find_browser() { (cd tests && python -c 'import report.browser as b; print(b.find_program() or "")'); }

if [[ -z "$(find_browser)" ]]; then
  if ! type apt-get > /dev/null 2>&1 || [[ $EUID -ne 0 ]]; then
    echo "tests/report: not run: no Chromium here, and installing it needs apt-get and root"
    exit 0
  fi
  echo "Installing chromium ..." >&2
  export DEBIAN_FRONTEND=noninteractive
  if ! { apt-get update -qq && apt-get install -qq -y --no-install-recommends chromium; } >&2; then
    echo "tests/report: not run: apt-get can't install chromium"
    exit 0
  fi
fi
I2IGALIP_TEST_BROWSER=1 OMP_NUM_THREADS=1 pytest tests/report "$@"
