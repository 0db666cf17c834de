#!/usr/bin/env bash
# Installs the tools that scripts/check.sh needs, pinned, below the user's cache folder, and prints the
# folder of their programs. What is there already is left alone. Prebuilt where a registry carries a
# build of today (typos); else built from source once (cargo-nextest, cargo-deny).
set -euo pipefail

TYPOS=1.52.0
NEXTEST=0.9.143
DENY=0.20.2

tools="${FORII_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/forii/tools}"
mkdir -p "$tools/bin"
# Their own target folder would only be kept for nothing.
unset CARGO_TARGET_DIR RUSTFLAGS

# has PROGRAM VERSION: this very version lies in the folder. Programs elsewhere on the path may be of
# any version and are not used, but for nextest, whose version does not change what is found.
has() {
    "$tools/bin/$1" --version 2>/dev/null | head -n 1 | grep -qwF "$2"
}

from_source() {
    has "$1" "$2" && return
    echo "building $1 $2, once" >&2
    cargo install --quiet --locked --root "$tools" "$1" --version "$2" >&2
}

if ! has typos "$TYPOS"; then
    wheel="$tools/typos-$TYPOS"
    python3 -m pip install --quiet --root-user-action=ignore --no-deps --upgrade --target "$wheel" "typos==$TYPOS" >&2
    ln -sf "$wheel/bin/typos" "$tools/bin/typos"
fi
command -v cargo-nextest >/dev/null || from_source cargo-nextest "$NEXTEST"
from_source cargo-deny "$DENY"

echo "$tools/bin"
