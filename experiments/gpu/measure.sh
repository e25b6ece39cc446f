#!/usr/bin/env bash
# Measure r2rec on a GPU, in parts of under ten minutes; a part that is called again goes on where it ended.
#
#     bash experiments/gpu/measure.sh PART       all the parts: experiments/gpu/lines.py
#
# The part `install` unpacks .gpu/wheels beside the machine's own packages; without such a folder the installed ones are
# used. Results are in $OUT, or else in experiments/gpu/results: PART.json and PART.txt. REHEARSE=1, which is also what
# happens where there is no GPU, runs the same lines at the smallest size on the CPU, into .gpu/rehearsal.
set -euo pipefail
cd "$(dirname "$0")/../.."
export PYTHONPATH=$PWD/.gpu/site:$PWD${PYTHONPATH:+:$PYTHONPATH}
export PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1 HF_HUB_DISABLE_TELEMETRY=1 TOKENIZERS_PARALLELISM=false WANDB_MODE=offline
export PYTORCH_CUDA_ALLOC_CONF=${PYTORCH_CUDA_ALLOC_CONF:-expandable_segments:True}
python=${PYTHON:-python3}

unpack() { # wheels -> .gpu/site, whose packages come before those of the machine
    rm -rf .gpu/site .gpu/site.part
    "$python" -m pip --disable-pip-version-check -q install --no-index --no-deps --no-compile --target .gpu/site.part "$@"
    mv .gpu/site.part .gpu/site
}

part=${1:-}
if [ "$part" = install ] && ls .gpu/wheels/*.whl >/dev/null 2>&1; then
    unpack .gpu/wheels/*.whl
fi
if [ "$part" = smollm2 ] && ls .gpu/smollm2.1/gguf-*.whl >/dev/null 2>&1; then
    "$python" -m pip --disable-pip-version-check -q install --no-index --no-deps --no-compile --upgrade \
        --target .gpu/site .gpu/smollm2.1/gguf-*.whl
    [ -f .gpu/smollm2.gguf ] || cat .gpu/smollm2.1/half .gpu/smollm2.2/half >.gpu/smollm2.gguf
fi
exec "$python" experiments/gpu/lines.py "$@"
