#!/usr/bin/env bash
# The scripts of examples/cluster on a real Slurm: bash tests/slurm/run.sh [pytest options]
# Installs Slurm where apt-get and root are there, says why not elsewhere, and leaves nothing running.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source examples/environment.sh dev
source tests/slurm/cluster.sh

if ! install_slurm; then
  echo "tests/slurm: not run: $obstacle"
  exit 0
fi
tests=""
stop() {
  [[ -z "$tests" ]] || kill "$tests" || true
  stop_cluster
}
trap stop EXIT
if ! start_cluster; then
  show_logs
  exit 1
fi
status=0
I2IGALIP_TEST_SLURM=1 pytest tests/slurm "$@" & # where a signal to this script finds it
tests=$!
wait "$tests" || status=$?
tests=""
((status == 0)) || show_logs
exit "$status"
