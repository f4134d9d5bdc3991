# Sourced: a Slurm of one node on loopback. install_slurm, start_cluster, stop_cluster, show_logs.
# Its configuration, key, sockets, states and logs lie in the folder $cluster and go with it.
cluster=""
daemons=() # process ids, in the order of their start

install_slurm() { # installs what is missing; says why it can't in $obstacle
  export PATH="$PATH:/usr/sbin:/sbin"
  if ! type slurmctld slurmd sbatch munged >/dev/null 2>&1; then
    obstacle="Slurm isn't installed, and installing it needs apt-get and root"
    type apt-get >/dev/null 2>&1 && [[ $EUID -eq 0 ]] || return 1
    echo "Installing slurm-wlm and munge ..." >&2
    obstacle="apt-get can't install slurm-wlm and munge"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq >&2 || return 1
    apt-get install -qq -y --no-install-recommends slurm-wlm munge >&2 || return 1
  fi
  obstacle="Slurm's daemons need root to start jobs"
  [[ $EUID -eq 0 ]]
}

free_ports() { # COUNT: that many ports on which nobody listens
  python - "$1" <<'PYTHON'
import socket
import sys

sockets = [socket.socket() for _ in range(int(sys.argv[1]))]
for each in sockets:
    each.bind(("127.0.0.1", 0))
print(*(each.getsockname()[1] for each in sockets))
PYTHON
}

write_configuration() {
  local node cores memory_mib controller_port node_port
  node="$(hostname -s)"
  cores="$(nproc)"
  memory_mib="$(awk '/^MemTotal/ {print int($2 / 1024)}' /proc/meminfo)"
  read -r controller_port node_port < <(free_ports 2)
  # cred_expire is also how long a requeued job waits. One core counts as two (config_overrides),
  # so that two processes can train. A job in "urgent" preempts those in "batch".
  cat >"$cluster/slurm.conf" <<CONF
ClusterName=loopback
SlurmctldHost=$node(127.0.0.1)
SlurmUser=root
SlurmdUser=root
SlurmctldPort=$controller_port
SlurmdPort=$node_port
AuthType=auth/munge
AuthInfo=socket=$cluster/munge.socket,cred_expire=5
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=bf_interval=1,sched_interval=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=30
MinJobAge=3600
MpiDefault=none
MailProg=/bin/true
StateSaveLocation=$cluster/state
SlurmdSpoolDir=$cluster/spool
SlurmctldPidFile=$cluster/slurmctld.pid
SlurmdPidFile=$cluster/slurmd.pid
SlurmdParameters=config_overrides
NodeName=$node NodeAddr=127.0.0.1 CPUs=$((cores > 1 ? cores : 2)) RealMemory=$memory_mib State=UNKNOWN
PartitionName=batch Nodes=$node Default=YES PriorityTier=1 State=UP
PartitionName=urgent Nodes=$node PriorityTier=10 State=UP
CONF
  # Without a control group in reach; versions before 23.11 don't know the word and need none.
  if ((10#$(slurmctld -V | sed -E 's/[^0-9]*([0-9]+)\.([0-9]+).*/\1\2/') >= 2311)); then
    echo "CgroupPlugin=disabled" >"$cluster/cgroup.conf"
  fi
}

start_daemon() { # COMMAND...: in the background, what it says in COMMAND.log
  "$@" >"$cluster/$1.log" 2>&1 &
  daemons+=($!)
}

wait_for() { # WHAT SECONDS COMMAND...: until the command succeeds
  local what="$1" seconds="$2" end=$((SECONDS + $2))
  shift 2
  until "$@" >/dev/null 2>&1; do
    if ((SECONDS >= end)); then
      echo "$what: not within $seconds s" >&2
      return 1
    fi
    sleep 0.2
  done
}

node_is_idle() {
  [[ "$(sinfo --noheader --partition=batch --format=%t)" == idle ]]
}

no_job_is_left() {
  [[ -z "$(squeue --noheader)" ]]
}

start_cluster() {
  cluster="$(mktemp -d "${TMPDIR:-/tmp}/slurm.XXXXXX")"
  chmod 711 "$cluster" # munge wants its socket within everyone's reach
  mkdir "$cluster"/{state,spool}
  write_configuration
  export SLURM_CONF="$cluster/slurm.conf"
  (umask 077 && head -c 1024 /dev/urandom >"$cluster/munge.key")
  start_daemon munged --foreground --force --num-threads=2 --socket="$cluster/munge.socket" \
    --key-file="$cluster/munge.key" --pid-file="$cluster/munged.pid" \
    --seed-file="$cluster/munged.seed"
  wait_for "munge" 20 munge --socket="$cluster/munge.socket" --no-input || return 1
  start_daemon slurmctld -D -f "$SLURM_CONF"
  wait_for "slurmctld" 30 scontrol ping || return 1
  start_daemon slurmd -D -f "$SLURM_CONF"
  wait_for "an idle node" 60 node_is_idle
}

stop_cluster() {
  [[ -n "$cluster" ]] || return 0
  if ((${#daemons[@]} == 3)); then
    scancel --user="$(id -un)" || true
    wait_for "the end of all jobs" 45 no_job_is_left || true
  fi
  local at
  for ((at = ${#daemons[@]} - 1; at >= 0; at--)); do
    kill "${daemons[at]}" 2>/dev/null || true
    wait "${daemons[at]}" || true
  done
  rm -rf "$cluster"
}

show_logs() {
  local log
  for log in "$cluster"/*.log; do
    printf '==> %s\n' "${log##*/}"
    tail -n 60 "$log"
  done >&2
}
