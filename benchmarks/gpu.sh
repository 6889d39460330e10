#!/bin/sh
# Tests and figures on a machine with an NVIDIA GPU, in at most 8 minutes. From the root of a clone:
#     benchmarks/gpu.sh                     Python of the environment (PYTHON=...) with torch, mmcm[tests] and diffusers
#     DEVICE=cpu benchmarks/gpu.sh          a dry run without a GPU: few figures, and no test of a GPU
# The tables go to stdout and to outputs/gpu.md; outputs/gpu.json has the machine and the versions, too.
set -eu
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}
DEVICE=${DEVICE:-cuda}
mkdir -p outputs
ended() { [ "$1" -ne 124 ] || echo "stopped after its share of the time"; }

"$PYTHON" -c "import torch; assert '$DEVICE' == 'cpu' or torch.cuda.is_available(), 'this torch finds no CUDA device'"
if [ "$DEVICE" = cpu ]; then
    timeout 240 "$PYTHON" benchmarks/bench.py limits --device cpu --rounds 1 --out outputs/gpu.md
    exit
fi
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader
timeout 90 "$PYTHON" -m pytest -m gpu -p no:xdist tests || ended $?
# The limit ends the longest topic, the last one; what the others measured is written by then.
timeout 390 "$PYTHON" benchmarks/bench.py limits training_step start network throughput \
    --device cuda --rounds 4 --compile --out outputs/gpu.md || ended $?
