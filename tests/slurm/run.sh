#!/usr/bin/env bash
# A real Slurm of one node, from Debian's packages, and a sweep on it. Not part of the suite:
#   sudo apt-get install slurmctld slurmd slurm-client munge && tests/slurm/run.sh
# Everything is in a scratch folder and ends with the script; the system's own services are not touched.
# With words, `tests/slurm/run.sh COMMAND ...`, that command runs on it instead.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
python=${PYTHON:-$root/.venv/bin/python}
for tool in slurmctld slurmd sbatch munged mungekey; do
  PATH=$PATH:/usr/sbin command -v $tool >/dev/null || {
    echo "error: no $tool; run: apt-get install slurmctld slurmd slurm-client munge" >&2
    exit 2
  }
done
"$python" -c 'import submitit' 2>/dev/null || { echo "error: $python has no submitit; install the extra 'cluster'" >&2; exit 2; }
PATH=$PATH:/usr/sbin

place=$(mktemp -d /tmp/nameblind-slurm.XXXXXX)
started=()
finish() {
  for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${started[@]}"; do wait "$pid" 2>/dev/null || true; done
  [ -n "${KEEP:-}" ] && echo "kept: $place" || rm -rf "$place"
}
trap finish EXIT
mkdir -p "$place"/{munge,state,spool,log}
chmod 755 "$place"
chmod 711 "$place/munge"

mungekey --create --keyfile="$place/key" && chmod 400 "$place/key"
munged --foreground --force --key-file="$place/key" --socket="$place/munge/socket" --pid-file="$place/munge/pid" \
  --log-file="$place/log/munged" --seed-file="$place/munge/seed" >"$place/log/munged.out" 2>&1 &
started+=($!)

node=$(slurmd -C | head -1 | tr ' ' '\n' | grep -E '^(NodeName|CPUs|Boards|SocketsPerBoard|CoresPerSocket|ThreadsPerCore|RealMemory)=' | tr '\n' ' ')
name=$(sed -E 's/NodeName=([^ ]+).*/\1/' <<<"$node")
user=$(id -un)
cat >"$place/slurm.conf" <<CONF
ClusterName=nameblind
SlurmctldHost=$name(127.0.0.1)
SlurmUser=$user
SlurmdUser=$user
SlurmctldPort=16817
SlurmdPort=16818
AuthType=auth/munge
AuthInfo=socket=$place/munge/socket
CredType=cred/munge
StateSaveLocation=$place/state
SlurmdSpoolDir=$place/spool
SlurmctldPidFile=$place/state/slurmctld.pid
SlurmdPidFile=$place/state/slurmd.pid
SlurmctldLogFile=$place/log/slurmctld
SlurmdLogFile=$place/log/slurmd
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SchedulerType=sched/backfill
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
MinJobAge=300
SlurmctldTimeout=30
SlurmdTimeout=60
$node NodeAddr=127.0.0.1 State=UNKNOWN
PartitionName=tests Nodes=$name Default=YES MaxTime=60 State=UP
CONF
export SLURM_CONF=$place/slurm.conf

slurmctld -D >"$place/log/slurmctld.out" 2>&1 &
started+=($!)
slurmd -D -N "$name" >"$place/log/slurmd.out" 2>&1 &
started+=($!)
for _ in $(seq 60); do
  state=$(sinfo --noheader --format=%T 2>/dev/null || true)
  [ "$state" = idle ] && break
  sleep 1
done
if [ "${state:-}" != idle ]; then
  echo "error: the node did not come up (state: ${state:-none})" >&2
  tail -n 20 "$place"/log/* >&2
  exit 1
fi
echo "$(sinfo --version): node $name is $state"

cd "$root"
export HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 PYTHONPATH=$root
[ $# -gt 0 ] || set -- "$python" -m pytest -q -p no:cacheprovider tests/slurm/sweep.py
"$@"
