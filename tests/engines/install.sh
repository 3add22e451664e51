#!/usr/bin/env bash
# Installs the engines of pins/ side by side and makes the tiny models, each once per state of its own files.
# Standard output: one line `NAME DIRECTORY` for each; progress goes to standard error. A torch without CUDA is wanted: where the
# package index serves the CUDA build by default, name an index of CPU builds in PIP_EXTRA_INDEX_URL.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
root=${GREENLANE_ENGINES:-$HOME/.cache/greenlane-engines}
python=${PYTHON:-python3.11}
mkdir -p "$root"

# place NAME FILE...: where NAME belongs, given the files that decide what it is.
place() {
  local name=$1 hash; shift
  hash=$(cat install.sh "$@" | sha256sum | cut -c1-12)
  echo "$root/$name-$hash"
}

# once DIRECTORY COMMAND...: runs `COMMAND... DIRECTORY` unless it already ended well there; one process at a time.
once() {
  local directory=$1 began=$SECONDS; shift
  exec 9> "$directory.lock"
  flock 9
  if [ ! -e "$directory/complete" ]; then
    rm -rf "$directory"
    "$@" "$directory" > "$directory.log" 2>&1 || { tail -n 40 "$directory.log" >&2; return 1; }
    touch "$directory/complete"
    echo "$(basename "$directory"): $((SECONDS - began)) s" >&2
  fi
  exec 9>&-
}

# The pins are whole, so nothing is resolved. Bytecode is left to the first import, which needs a small part of it.
environment() {
  local pins=$1 directory=$2
  "$python" -m venv "$directory"
  "$directory/bin/python" -m pip install --no-deps --no-compile --only-binary :all: --quiet --requirement "$pins"
}

vllm_environment() {
  environment pins/vllm.txt "$1"
  "$1/bin/python" vllm_dist_alias.py
}

tiny_models() {
  HF_HUB_OFFLINE=1 "$transformers/bin/python" make_tiny_model.py "$1/tiny-chat"
}

vllm=$(place vllm pins/vllm.txt vllm_dist_alias.py)
transformers=$(place transformers pins/transformers.txt)
mlx=$(place mlx pins/mlx.txt)
models=$(place models make_tiny_model.py)

once "$vllm" vllm_environment & first=$!
once "$mlx" environment pins/mlx.txt & second=$!
once "$transformers" environment pins/transformers.txt
once "$models" tiny_models
wait "$first"
wait "$second"
printf '%s\n' "vllm $vllm" "transformers $transformers" "mlx $mlx" "models $models"
