#!/usr/bin/env bash
# What it costs to build `sessionful`: crates, seconds, and seconds of processors, cold, in crates that are
# made for it. Prints a table.
#
#   tests/bench/builds.sh                   everything; about ten minutes on two idle cores
#   tests/bench/builds.sh answer sqlite     some of it, by the names in the table
#
# The sources are fetched before the clock starts. Nothing else is built on the machine meanwhile, or only
# the seconds of processors say anything.

set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
TIMEFORMAT='%R %U %S'

# crate NAME COMMAND...: an empty crate, which the commands of `cargo add` fill.
crate() {
    mkdir -p "$work/$1"
    cargo init --quiet --vcs none --name "$1-app" "$work/$1"
    # The versions that everything here is tested with.
    cp "$root/Cargo.lock" "$root/rust-toolchain.toml" "$work/$1"
}

# row NAME WHAT: builds the crate of this name, and prints its row.
row() {
    local name=$1 what=$2 crates seconds
    cd "$work/$name"
    cargo fetch --quiet
    crates=$(cargo tree --prefix none --edges normal,build --format '{p}' | sed 's/ (\*)$//' | sort -u | wc -l)
    seconds=$({ time cargo build --quiet --offline 2>&3; } 3>&2 2>&1)
    # shellcheck disable=SC2086 # Words, on purpose.
    print_row "$name" "$what" "$((crates - 1))" $seconds
    rm -rf target
    cd "$root"
}

print_row() {
    awk -v name="$1" -v what="$2" -v crates="$3" -v real="$4" -v user="$5" -v sys="$6" \
        'BEGIN { printf "| %s | %s | %d | %.0f | %.0f |\n", name, what, crates, real, user + sys }'
}

# feature NAME WHAT FEATURES...: `sessionful` with features.
feature() {
    local name=$1 what=$2
    shift 2
    crate "$name"
    (cd "$work/$name" && cargo add --quiet --path "$root/sessions" "$@")
    row "$name" "$what"
}

# provider NAME WHAT ARGUMENTS...: `sessionful` without features, and a provider.
provider() {
    local name=$1 what=$2
    shift 2
    crate "$name"
    (cd "$work/$name" && cargo add --quiet --path "$root/sessions" \
        && cargo add --quiet --path "$root/providers/$name" "$@")
    row "$name" "$what"
}

# From `cargo add` to the first answer of a server, axum with SQLite, as the README has it.
answer() {
    crate answer
    cd "$work/answer"
    cargo add --quiet --path "$root/sessions" --features axum
    cargo add --quiet --path "$root/providers/sqlite"
    cargo add --quiet axum
    cargo add --quiet tokio --features macros,net,rt-multi-thread
    cat >src/main.rs <<'RUST'
use axum::{Router, routing::get};
use sessions::{Session, Store, axum::SessionLayer};
use sessions_sqlite::SqliteProvider;

#[derive(Session)]
#[session(name = "visitor", version = 1)]
struct Visitor {
    #[session(merge = add)]
    visits: u32,
}

async fn home(mut visitor: Session<Visitor>) -> String {
    visitor.visits += 1;
    format!("visit number {}", visitor.visits)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let store = Store::new(SqliteProvider::open("sessions.db").await?);
    let app = Router::new().route("/", get(home)).layer(SessionLayer::new(store));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    std::fs::write("port", listener.local_addr()?.port().to_string())?;
    axum::serve(listener, app).await?;
    Ok(())
}
RUST
    cargo fetch --quiet
    local crates seconds
    crates=$(cargo tree --prefix none --edges normal,build --format '{p}' | sed 's/ (\*)$//' | sort -u | wc -l)
    seconds=$({ time first_answer 2>&3; } 3>&2 2>&1)
    # shellcheck disable=SC2086
    print_row answer "axum and SQLite, to the first answer" "$((crates - 1))" $seconds
    cd "$root"
}

# Builds the crate in the current folder and asks it once.
first_answer() {
    local server port
    cargo build --quiet --offline
    target/debug/answer-app >/dev/null &
    server=$!
    until [ -s port ] && exec 9<>"/dev/tcp/127.0.0.1/$(cat port)"; do
        kill -0 "$server"
    done
    port=$(cat port)
    printf 'GET / HTTP/1.1\r\nHost: 127.0.0.1:%s\r\nConnection: close\r\n\r\n' "$port" >&9
    if ! grep -q 'visit number 1' <&9; then
        echo "the server does not answer as it should" >&2
        return 1
    fi
    kill "$server"
    # 143: it ended by the signal above, and by nothing else.
    wait "$server" || [ "$?" -eq 143 ]
}

default() { feature default "\`sessionful\`, as by default"; }
axum() { feature axum "\`axum\`" --features axum; }
actix() { feature actix "\`actix\`" --features actix; }
metrics() { feature metrics "\`metrics\`" --features metrics; }
testing() { feature testing "\`testing\`" --features testing; }
tower-sessions() { feature tower-sessions "\`tower-sessions\`" --features tower-sessions; }
conformance() { feature conformance "\`conformance\`" --features conformance; }
sqlite() { provider sqlite "\`sessionful-sqlite\`"; }
postgres() { provider postgres "\`sessionful-postgres\`, without TLS"; }
mysql() { provider mysql "\`sessionful-mysql\`, without TLS"; }
redis() { provider redis "\`sessionful-redis\`"; }
dynamodb() { provider dynamodb "\`sessionful-dynamodb\`"; }

if [ $# -eq 0 ]; then
    set -- answer default axum actix metrics testing tower-sessions conformance sqlite postgres mysql redis dynamodb
fi
echo "| name | what is built | crates | seconds | seconds of processors |"
echo "|---|---|---:|---:|---:|"
for name in "$@"; do
    "$name"
done
