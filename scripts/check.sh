#!/usr/bin/env bash
# The one list of checks. Without arguments all of them, else those that are named:
#   scripts/check.sh fmt clippy
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/forii/target}"

# Checkouts share this folder, and cargo takes another checkout's build of a crate for fresh; but tests
# have the path of their testdata built in. Newer sources make it build them again.
if [ "$(cat "$CARGO_TARGET_DIR/checkout" 2>/dev/null)" != "$PWD" ]; then
    git ls-files -z '*.rs' | xargs -0 touch
    mkdir -p "$CARGO_TARGET_DIR"
    echo "$PWD" >"$CARGO_TARGET_DIR/checkout"
fi

check_fmt() {
    cargo fmt --all --check
}

check_typos() {
    typos
}

check_clippy() {
    cargo clippy --locked --workspace --all-targets -- -D warnings
}

# The CUDA build is checked, not linked: without a driver and without the LLVM that its compiler would
# download, which DOCS_RS skips.
check_cuda() {
    DOCS_RS=1 cargo clippy --locked -p forii-core --features cuda -- -D warnings
}

check_doc() {
    RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps
}

check_test() {
    cargo nextest run --locked --workspace --no-fail-fast
}

check_doctest() {
    cargo test --locked --workspace --doc
}

# Examples and programs link too; clippy has only type-checked them. The whole workspace at once, as
# in every step: another selection of packages would mean other features and burn built again.
check_build() {
    cargo build --locked --workspace --examples --bins --benches
}

check_deny() {
    cargo deny --log-level error check --hide-inclusion-graph licenses bans sources
    # The database of advisories lies elsewhere; without it this part waits for a machine that reaches it.
    if GIT_TERMINAL_PROMPT=0 timeout 30 cargo deny --log-level off fetch db >/dev/null 2>&1; then
        cargo deny --log-level error check --hide-inclusion-graph advisories
    else
        echo "advisories: not checked, their database cannot be reached"
    fi
}

# burn is known to forii-core alone, a web server and an async runtime to forii-server alone.
check_layers() {
    local wrong=0
    # layer CRATE FORBIDDEN...: none of these may be below the crate.
    layer() {
        local crate="$1" tree
        shift
        tree="$(cargo tree --locked -p "$crate" --all-features --edges normal --prefix none --format '{p}' | cut -d' ' -f1 | sort -u)"
        for forbidden in "$@"; do
            if grep -qx "$forbidden" <<<"$tree"; then
                echo "$crate must not depend on $forbidden:"
                cargo tree --locked -p "$crate" --all-features --edges normal --invert "$forbidden" | head -n 20
                wrong=1
            fi
        done
    }
    layer forii-sampling burn axum tokio forii-core forii-openai forii-server
    layer forii-core axum tokio hyper forii-openai forii-server
    layer forii-openai axum tokio hyper forii-server
    # burn is named in one manifest only.
    local manifests
    manifests="$(grep -lE '^burn(-[a-z]+)?(\.| *=)' ./*/Cargo.toml || true)"
    if [ "$manifests" != "./forii-core/Cargo.toml" ]; then
        echo "only forii-core may depend on burn itself, found: $manifests"
        wrong=1
    fi
    return "$wrong"
}

steps=(fmt typos clippy cuda doc test doctest build layers deny)
if [ "$#" -gt 0 ]; then
    steps=("$@")
fi
for step in "${steps[@]}"; do
    if ! declare -F "check_$step" >/dev/null; then
        echo "no check is called $step" >&2
        exit 2
    fi
done

tools="$(scripts/tools.sh)"
export PATH="$tools:$PATH"
for step in "${steps[@]}"; do
    began="$SECONDS"
    printf '\n== %s\n' "$step"
    "check_$step"
    printf -- '-- %s: %d s\n' "$step" "$((SECONDS - began))"
done
printf '\nall checks passed in %d s\n' "$SECONDS"
