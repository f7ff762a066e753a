#!/usr/bin/env bash
# Checks what surrounds the code: dependencies, features, versions, packages, documentation.
#
#   tests/hygiene.sh                    everything; about an hour on two cores
#   tests/hygiene.sh features semver    some of it, by the names of the functions below
#   tests/hygiene.sh quick              what .ci/run does: no tools to install, no network
#   tests/hygiene.sh release            what a release fills in, just before it; not part of everything
#   BASELINE=main tests/hygiene.sh semver   against that revision, in place of the last release
#   SOAK_SECONDS=60 tests/hygiene.sh soak   a short soak; 600 seconds for each database otherwise
#
# Installs the cargo tools that are missing. Ends with a status other than zero if anything fails.

set -euo pipefail
cd "$(dirname "$0")/.."

# In the order in which they depend on each other; the macro is the first.
PUBLISHED=(sessionful-derive sessionful sessionful-sqlite sessionful-postgres sessionful-mysql sessionful-redis
    sessionful-dynamodb sessionful-aws-kms)

# Of its own, as other flags would make the everyday one build everything anew.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}/hygiene"
export CARGO_TERM_COLOR=always

TOOLS=$PWD/target/tools
PATH=$TOOLS/bin:$PATH

# tool NAME: installs a cargo tool unless there is one. Low priority, for it takes minutes.
tool() {
    if ! command -v "$1" >/dev/null; then
        CARGO_TARGET_DIR="$CARGO_TARGET_DIR/tools" nice -n 15 \
            cargo install --locked --root "$TOOLS" "$1"
    fi
}

packages() {
    printf -- '--package\n%s\n' "${PUBLISHED[@]}"
}

# Licences, bans, sources: deny.toml.
deny() {
    tool cargo-deny
    cargo deny --locked check licenses bans sources
}

# Known vulnerabilities, and crates that are unmaintained or yanked. Fetches the RustSec database
# from GitHub.
advisories() {
    tool cargo-deny
    cargo deny --locked check advisories
}

# Every feature builds alone and beside every other, without a warning. `default` is another name for
# what it switches on, and `fuzzing` is the fuzz targets' own.
features() {
    tool cargo-hack
    # shellcheck disable=SC2046 # Words, on purpose.
    RUSTFLAGS="-D warnings" cargo hack check --locked $(packages) \
        --feature-powerset --depth 2 --exclude-features default,fuzzing
}

# The lowest versions that the manifests allow are enough.
minimal() {
    local copy=$CARGO_TARGET_DIR/minimal
    rm -rf "$copy"
    mkdir -p "$copy"
    git ls-files -z --cached --others --exclude-standard -- \
        . ':!tests' ':!examples' ':!sessions/fuzz/corpus' | xargs -0 cp -P --parents -t "$copy"
    # Only what is published, and what its users build: a test may need more.
    sed -i -E '/^ +"(tests|tests\/(bench|ui)|examples(\/[a-z]+)?)",$/d' "$copy/Cargo.toml"
    find "$copy" -name Cargo.toml -exec sed -i -E '/^\[dev-dependencies\]$/,/^$/d' {} +
    (
        cd "$copy"
        # The flag is a nightly one, and changes no more than the lock file.
        RUSTC_BOOTSTRAP=1 cargo update --quiet -Z direct-minimal-versions
        for package in "${PUBLISHED[@]}"; do
            cargo check --locked --all-features --package "$package"
        done
    )
}

# The Rust version that the manifest states is the one that everything here is built with, and the
# one that the README names.
msrv() {
    local stated used
    stated=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
    used=$(sed -n 's/^channel = "\(.*\)"$/\1/p' rust-toolchain.toml)
    if [ "$stated" != "${used%.*}" ]; then
        echo "Cargo.toml states Rust $stated, rust-toolchain.toml builds with $used" >&2
        return 1
    fi
    if ! rustc --version | grep -qF "rustc $used "; then
        echo "rustc $used was to build this, not $(rustc --version)" >&2
        return 1
    fi
    if ! grep -qF "Rust $stated or later" README.md; then
        echo "README.md does not say: Rust $stated or later" >&2
        return 1
    fi
}

# No change that breaks users hides in a version that says it does not. Compares with the revision
# BASELINE, or with the last release's tag. Before the first release it compares with the last
# commit, which shows that the tool reads these crates.
semver() {
    local baseline=${BASELINE:-}
    if [ -z "$baseline" ] \
        && ! baseline=$(git describe --tags --match 'v[0-9]*' --abbrev=0 2>/dev/null); then
        echo "no release is tagged yet (v1.2.3): compares with the last commit"
        baseline=HEAD
    fi
    tool cargo-semver-checks
    # The macro has no interface of items.
    # shellcheck disable=SC2046
    cargo semver-checks $(printf -- '--package\n%s\n' "${PUBLISHED[@]:1}") \
        --all-features --baseline-rev "$baseline"
}

# Each crate's package holds what its users need, and nothing that is large.
contents() {
    local package name archive list file kibibytes
    # shellcheck disable=SC2046
    cargo package --quiet --locked --allow-dirty --no-verify $(packages) "$@"
    for package in "${PUBLISHED[@]}"; do
        name=$package-$(version)
        archive=$CARGO_TARGET_DIR/package/$name.crate
        # The registry has another project's crates of the names `sessions` and `sessions-redis`.
        if tar -xOzf "$archive" "$name/Cargo.lock" | grep -E '^name = "sessions(-|")' >&2; then
            echo "$package: its package depends on the crate above, which is another project's" >&2
            return 1
        fi
        list=$(tar -tvzf "$archive")
        for file in README.md LICENSE-MIT LICENSE-APACHE; do
            # A file, not a link that leads out of the package.
            if ! grep -Eq "^-.* $name/$file\$" <<<"$list"; then
                echo "$package: its package lacks $file" >&2
                return 1
            fi
        done
        # Beside the sources: what cargo adds, the start of examples, and what the macro writes.
        if grep -Ev " $name/((src|doc|snapshots)/.*|README\.md|LICENSE-[A-Z]+|Cargo\..*|\.cargo_vcs_info\.json)\$" \
            <<<"$list" >&2; then
            echo "$package: its package holds the above: exclude it, or allow it here" >&2
            return 1
        fi
        kibibytes=$(($(stat -c %s "$archive") / 1024))
        if [ "$kibibytes" -gt "$(largest "$package")" ]; then
            echo "$package: its package has $kibibytes KiB, above the $(largest "$package") here" >&2
            return 1
        fi
    done
}

# largest PACKAGE: how many KiB its package may have, compressed. A tenth above what it has.
largest() {
    case $1 in
        sessionful) echo 600 ;;
        *) echo 60 ;;
    esac
}

# What `cargo publish` checks before it uploads: the manifests, and that each crate builds from its
# package and those of the others, in the order in which they depend on each other.
publish() {
    contents
    # shellcheck disable=SC2046
    cargo publish --dry-run --locked --allow-dirty $(packages)
}

# What must be filled in for a release, and cannot be before.
release() {
    local manifest missing=()
    if [ -n "$(git status --porcelain)" ]; then
        missing+=("a commit of all changes")
    fi
    if ! grep -q '^repository = "https://' Cargo.toml; then
        missing+=("Cargo.toml: repository, with the URL, in [workspace.package]")
    fi
    for manifest in sessions/Cargo.toml sessions-derive/Cargo.toml providers/*/Cargo.toml; do
        if ! grep -q '^repository\.workspace = true$' "$manifest"; then
            missing+=("$manifest: repository.workspace = true")
        fi
    done
    if ! grep -Eq "^## \[$(version)\] - 20[0-9]{2}-[0-9]{2}-[0-9]{2}\$" CHANGELOG.md; then
        missing+=("CHANGELOG.md: ## [$(version)] - and the day")
    fi
    # Notes on the time before it: where to get the crates, and that nobody uses them.
    while IFS= read -r line; do
        missing+=("$line")
    done < <(grep -rnHE "[Uu]ntil the \\[?(first )?release|^Not released|released and in use \\| not yet" \
        --include='*.md' README.md SECURITY.md COMPARE.md sessions/README.md sessions/src providers)
    if [ "${#missing[@]}" -gt 0 ]; then
        echo "a release of $(version) still needs:" >&2
        printf '  %s\n' "${missing[@]}" >&2
        return 1
    fi
}

version() {
    sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1
}

# The documentation of what is published builds without a warning, with the flags of docs.rs.
doc() {
    local page
    # shellcheck disable=SC2046
    RUSTC_BOOTSTRAP=1 RUSTDOCFLAGS="-D warnings --cfg docsrs" \
        cargo doc --locked --no-deps --all-features $(packages)
    # Items behind a feature say so.
    for page in sessions/struct.DeviceBinding sessions_redis/struct.RedisProvider; do
        if ! grep -q "Available on <strong>crate feature" "$CARGO_TARGET_DIR/doc/$page.html"; then
            echo "$page: the page does not say which feature it needs" >&2
            return 1
        fi
    done
}

# A long mixed load on PostgreSQL, MariaDB, Redis and SQLite, whose servers are killed and started at random:
# tests/soak. DATABASES="redis" tries one.
soak() {
    # shellcheck disable=SC2086 # Words, on purpose.
    cargo run --locked --package sessions-tests --features mysql,postgres,redis --bin soak -- \
        --seconds "${SOAK_SECONDS:-600}" ${DATABASES:-}
}

quick() {
    msrv
    contents --offline
}

# Read as a whole before it runs, so that an edit meanwhile does no harm.
main() {
    local step name
    for step in "${@:-deny features minimal msrv semver publish doc advisories soak}"; do
        # Without an argument that is one word of many.
        for name in $step; do
            echo "== $name"
            "$name"
        done
    done
    exit
}
main "$@"
