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

# Amazon's DynamoDB Local, a Java program, comes in an npm package.
if ! command -v java >/dev/null; then
    install "Java, for DynamoDB Local, is missing" default-jre-headless
fi
dynamodb=target/dynamodb-local
if [ ! -f "$dynamodb/DynamoDBLocal.jar" ]; then
    if ! command -v npm >/dev/null; then
        install "npm, to fetch DynamoDB Local, is missing" npm
    fi
    package=amplify-dynamodb-simulator-2.9.30.tgz
    sha512=c5379e44bbf311fab2779961ddb1f8734907bd21c79a6843e590ec1c52804398
    sha512+=36665e89aa515dbad6908422c7cf1129e91cb5a3b4c1ea7888a17b9002749ec1
    rm -rf "$dynamodb.new"
    mkdir -p "$dynamodb.new"
    (
        cd "$dynamodb.new"
        npm pack --silent amplify-dynamodb-simulator@2.9.30 >/dev/null
        if ! echo "$sha512  $package" | sha512sum --check --status; then
            echo "tests/run.sh: $package is not what it was: do not use it" >&2
            exit 1
        fi
        tar -xzf "$package" --strip-components=2 package/emulator
        rm "$package"
    )
    rm -rf "$dynamodb"
    mv "$dynamodb.new" "$dynamodb"
fi

# moto, a Python program, stands in for AWS KMS.
moto=target/moto
if ! cmp --silent tests/moto.txt "$moto/installed"; then
    if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
        install "Python, for moto, is missing" python3 python3-venv
    fi
    rm -rf "$moto"
    python3 -m venv "$moto"
    # Wheels run no code of theirs while they are installed.
    "$moto/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: \
        --requirement tests/moto.txt
    cp tests/moto.txt "$moto/installed"
fi

# Where REDIS_URL names a server, most tests use that; those of faults need their own all the same.
if ! command -v redis-server >/dev/null || ! command -v redis-cli >/dev/null; then
    install "redis-server is missing" redis-server redis-tools
fi

# The shop of the examples is tried in real browsers.
if ! command -v chromium >/dev/null || ! command -v chromedriver >/dev/null; then
    install "Chromium or its driver is missing" chromium chromium-driver
fi
if ! command -v firefox-esr >/dev/null; then
    install "Firefox is missing" firefox-esr
fi
# Debian has no driver for it. Built without optimization, as it only passes commands on.
geckodriver=target/geckodriver
if [ ! -x "$geckodriver/bin/geckodriver" ]; then
    cargo install geckodriver@0.37.1 --locked --debug --root "$geckodriver"
fi

# The tests start servers of their own from these programs.
if ! compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null \
    && ! { command -v pg_config >/dev/null && [ -x "$(pg_config --bindir)/postgres" ]; } \
    && ! command -v postgres >/dev/null; then
    install "PostgreSQL is missing" postgresql
fi
if ! command -v pgbouncer >/dev/null && ! [ -x /usr/sbin/pgbouncer ]; then
    install "PgBouncer is missing" pgbouncer
fi
if ! command -v mariadbd >/dev/null && ! [ -x /usr/sbin/mariadbd ]; then
    install "MariaDB is missing" mariadb-server
fi
if ! command -v openssl >/dev/null; then
    install "openssl, which makes the certificate of a test server, is missing" openssl
fi

# All failures are shown, not only those of the first test program. The benchmarks, with the crates
# they measure against, are not built.
exec cargo test --locked --workspace --exclude sessions-bench --all-features --no-fail-fast "$@"
