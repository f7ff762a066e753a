#!/bin/sh
# What the macro costs: the build time of a crate with 100 structs of 10 fields that derive
# Session, beside the same structs with serde's derives, encoded and decoded with cbor4ii as a
# session is; and beside serde's derives alone, whose code is only made where it is used.
#
# The least of five builds of each, of that crate alone. Needs nothing but cargo.

set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
work=${COST_DIR:-$root/target/cost}
mkdir -p "$work"

crate() { # name, dependencies, derive, attribute, use
    mkdir -p "$work/$1/src"
    cat > "$work/$1/Cargo.toml" <<TOML
[package]
name = "cost-$1"
version = "0.0.0"
edition = "2024"

[dependencies]
$2
serde = { version = "1", features = ["derive"] }

[workspace]
TOML
    {
        n=0
        while [ $n -lt 100 ]; do
            echo "#[derive($3)]"
            echo "$4" | sed "s/NAME/s$n/"
            cat <<RUST
pub struct S$n {
    pub user: Option<u64>,
    pub name: String,
    pub visits: u64,
    pub cart: Vec<String>,
    pub locale: String,
    pub score: i32,
    pub seen: bool,
    pub tags: std::collections::BTreeSet<String>,
    pub token: Option<String>,
    pub rate: f64,
}
RUST
            echo "$5" | sed "s/NAME/$n/g"
            n=$((n + 1))
        done
    } > "$work/$1/src/lib.rs"
}

crate session "sessionful = { path = \"$root/sessions\" }" \
    'sessions::Session' '#[session(name = "NAME", version = 1)]' ''
crate used "cbor4ii = { version = \"1\", features = [\"serde1\", \"use_std\"] }" \
    'serde::Serialize, serde::Deserialize' '' \
    'pub fn encode_NAME(s: &SNAME) -> Vec<u8> { cbor4ii::serde::to_vec(Vec::new(), s).unwrap() }
pub fn decode_NAME(b: &[u8]) -> SNAME { cbor4ii::serde::from_slice(b).unwrap() }'
crate plain '' 'serde::Serialize, serde::Deserialize' '' ''

build() { # name, command
    # Once for what it depends on.
    CARGO_TARGET_DIR="$work/target" cargo "$2" -q --manifest-path "$work/$1/Cargo.toml"
    best=
    for _ in 1 2 3 4 5; do
        touch "$work/$1/src/lib.rs"
        start=$(date +%s%N)
        CARGO_TARGET_DIR="$work/target" cargo "$2" -q --manifest-path "$work/$1/Cargo.toml"
        took=$((($(date +%s%N) - start) / 1000000))
        if [ -z "$best" ] || [ "$took" -lt "$best" ]; then best=$took; fi
    done
    echo "$2 $1: $best ms"
}

for command in check build; do
    for name in session used plain; do
        build "$name" "$command"
    done
done
