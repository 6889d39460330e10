#!/usr/bin/env bash
# Train on a Slurm cluster, one process for each device:
#     GPUS=8 GPUS_PER_NODE=8 CPUS_PER_TASK=5 SRUN_ARGS='--quotatype=auto' \
#         tools/slurm_train.sh PARTITION JOB_NAME CONFIG [WORK_DIR] [arguments of tools/train.py]
# GRES asks for something else than gpu:GPUS_PER_NODE, or, if empty, for nothing: then the processes use CPUs.
# PYTHON names the Python to use.
set -euo pipefail

if (($# < 3)); then
    echo "usage: [GPUS=8 GPUS_PER_NODE=8 CPUS_PER_TASK=5 SRUN_ARGS=...] $0 PARTITION JOB_NAME CONFIG [WORK_DIR]" \
        "[arguments of train.py]" >&2
    exit 2
fi
partition=$1
job_name=$2
config=$3
shift 3
arguments=()
if (($#)) && [[ $1 != -* ]]; then
    arguments=(--work-dir "$1")
    shift
fi
arguments+=("$@")
gpus=${GPUS:-8}
gpus_per_node=${GPUS_PER_NODE:-$((gpus < 8 ? gpus : 8))}
gres=${GRES-gpu:$gpus_per_node}
read -ra srun_args <<<"${SRUN_ARGS:-}"
tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

export PYTHONPATH="$tools/..${PYTHONPATH:+:$PYTHONPATH}"
exec srun \
    --partition="$partition" \
    --job-name="$job_name" \
    ${gres:+--gres="$gres"} \
    --ntasks="$gpus" \
    --ntasks-per-node="$gpus_per_node" \
    --cpus-per-task="${CPUS_PER_TASK:-5}" \
    --kill-on-bad-exit=1 \
    ${srun_args[@]+"${srun_args[@]}"} \
    "${PYTHON:-python}" -u "$tools/train.py" "$config" --launcher slurm ${arguments[@]+"${arguments[@]}"}
