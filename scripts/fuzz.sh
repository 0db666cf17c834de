#!/usr/bin/env bash
# Fuzzes every reader of untrusted bytes, each for SECONDS (600 unless told): scripts/fuzz.sh [SECONDS]
# A target is a [[bin]] of fuzz/Cargo.toml; its seeds lie in fuzz/seeds/TARGET, its words in fuzz/TARGET.dict.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-600}
version=0.13.2

command -v cargo-fuzz >/dev/null || cargo install --locked "cargo-fuzz@$version"

# Coverage needs flags that stable keeps back; sanitizers would need nightly, and this code is safe Rust.
export RUSTC_BOOTSTRAP=1
for target in $(cargo fuzz list --fuzz-dir fuzz); do
    echo "== $target: $seconds s"
    mkdir -p "fuzz/corpus/$target"
    seeds=() words=()
    [ -d "fuzz/seeds/$target" ] && seeds=("fuzz/seeds/$target")
    [ -f "fuzz/$target.dict" ] && words=("-dict=fuzz/$target.dict")
    cargo fuzz run --fuzz-dir fuzz --sanitizer none "$target" "fuzz/corpus/$target" "${seeds[@]}" -- \
        -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=16384 "${words[@]}"
done
