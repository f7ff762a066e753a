#!/usr/bin/env bash
# Runs the whole test suite, documentation examples included, after installing what it needs.
#
#   tests/run.sh                 everything
#   tests/run.sh --test http     arguments are passed on to `cargo test`
#
# Ends with a status other than zero if anything fails.

set -euo pipefail
cd "$(dirname "$0")/.."

# install WHY PACKAGE...: installs Debian packages, or says what to install.
install() {
    local why=$1 as_root=()
    shift
    if [ "$(id -u)" -ne 0 ]; then
        as_root=(sudo)
    fi
    if ! command -v apt-get >/dev/null || ! command -v "${as_root[0]:-apt-get}" >/dev/null; then
        echo "tests/run.sh: $why: install $* (Debian's names) and run this again" >&2
        exit 1
    fi
    local get=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get)
    # An image may come without package lists.
    "${get[@]}" install -y --no-install-recommends "$@" \
        || { "${get[@]}" update && "${get[@]}" install -y --no-install-recommends "$@"; }
}

if ! command -v cargo >/dev/null; then
    if [ -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ]; then
        PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
    else
        echo "tests/run.sh: cargo is missing; install Rust with rustup and run this again" >&2
        exit 1
    fi
fi

# Rust links with it, and SQLite is compiled from its C source.
if ! command -v cc >/dev/null; then
    install "a C compiler is missing" gcc libc6-dev
fi

# All failures are shown, not only those of the first test program. The benchmarks, with the crates
# they measure against, are not built.
exec cargo test --locked --workspace --exclude sessions-bench --all-features --no-fail-fast "$@"
