#!/usr/bin/env bash
# Train on several devices, or, where there are none, in several processes on the CPU:
#     tools/dist_train.sh CONFIG GPUS [arguments of tools/train.py]
# On several machines, start it on each of them, with the same PORT and MASTER_ADDR (the address of machine 0):
#     NNODES=2 NODE_RANK=0 PORT=29500 MASTER_ADDR=10.0.0.1 tools/dist_train.sh CONFIG GPUS_PER_MACHINE
# PYTHON names the Python to use.
set -euo pipefail

if (($# < 2)); then
    echo "usage: [NNODES=1 NODE_RANK=0 PORT=29500 MASTER_ADDR=127.0.0.1] $0 CONFIG GPUS [arguments of train.py]" >&2
    exit 2
fi
config=$1
gpus=$2
tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

export PYTHONPATH="$tools/..${PYTHONPATH:+:$PYTHONPATH}"
exec "${PYTHON:-python}" "$tools/launch.py" \
    --nnodes="${NNODES:-1}" \
    --node_rank="${NODE_RANK:-0}" \
    --nproc_per_node="$gpus" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" \
    --master_port="${PORT:-29500}" \
    "$tools/train.py" "$config" --launcher pytorch "${@:3}"
