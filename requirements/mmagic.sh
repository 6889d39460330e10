#!/usr/bin/env bash
# Create an environment with MMagic 1.2.0 and this checkout of mmcm: `requirements/mmagic.sh .venv-mmagic`.
#     PYTHON=python3.11          the Python of the environment; the pinned versions are for 3.11
#     XDG_CACHE_HOME=DIR         cache of the compiled mmcv, below mmcm/wheels (default: ~/.cache)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
venv=${1:?usage: requirements/mmagic.sh FOLDER}
python=${PYTHON:-python3}
pins=requirements/mmagic.txt

found=$("$python" -c 'import platform; print(platform.python_version())')
if [[ $found != 3.11.* ]]; then
    echo "error: the versions in $pins are for Python 3.11, and $python is $found: choose another one, PYTHON=python3.11" >&2
    exit 2
fi
if ! command -v "${CXX:-c++}" >/dev/null; then
    echo 'error: mmcv must be compiled, and there is no C++ compiler: install g++' >&2
    exit 2
fi

[[ -x $venv/bin/python ]] || "$python" -m venv "$venv"
pip() { "$venv/bin/python" -m pip --disable-pip-version-check "$@"; }
pin() { grep -m 1 -E "^$1[=<]" "$pins"; }

# mmcv compiles against the installed torch, with the installed setuptools, for about ten minutes on two cores. pip's own
# cache does not record the torch of a wheel, so the wheel is kept in a folder named after it.
pip install "$(pin torch)" "$(pin torchvision)" "$(pin setuptools)" wheel ninja psutil
wheels=${XDG_CACHE_HOME:-$HOME/.cache}/mmcm/wheels/$("$venv/bin/python" -c 'if True:
    import platform, torch
    print(f"torch-{torch.__version__}-cp311-{platform.system().lower()}-{platform.machine()}")')
mmcv=$(pin mmcv)
wheel=("$wheels/${mmcv/==/-}"-*.whl)
if [[ ! -f ${wheel[0]} ]]; then
    mkdir -p "$wheels"
    building=$(mktemp -d "$wheels/.building-XXXXXX")
    trap 'rm -rf "$building"' EXIT
    MMCV_WITH_OPS=1 FORCE_CUDA=0 MAX_JOBS=${MAX_JOBS:-$(nproc)} \
        pip wheel --no-cache-dir --no-binary mmcv --no-build-isolation --no-deps --wheel-dir "$building" "$mmcv"
    mv "$building"/mmcv-*.whl "$wheels"  # a rename: the file appears whole
    wheel=("$wheels/${mmcv/==/-}"-*.whl)
fi
pip install "${wheel[0]}" --requirement "$pins"
pip install --no-deps --no-build-isolation --editable .
"$venv/bin/python" -W ignore -c 'if True:
    import mmagic.apis, mmcv.ops, mmagic, mmcv, mmcm, torch
    print(f"MMagic {mmagic.__version__}, mmcv {mmcv.__version__}, torch {torch.__version__}, mmcm {mmcm.__version__}")'
