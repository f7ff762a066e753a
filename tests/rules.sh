#!/usr/bin/env bash
# Breaks each rule of a session's life once, and expects a test to notice.
#
#   tests/rules.sh            every rule of tests/rules.txt, in a copy under target/rules
#   tests/rules.sh fence      those whose line has this word
#
# Takes about half a minute for each rule. Ends with a status other than zero if a break goes unnoticed, or if its
# text is not in the source any more.

set -euo pipefail
cd "$(dirname "$0")/.."

copy=target/rules/source
mkdir -p "$copy"
# What is committed and what is not yet, without what was built.
git ls-files -z --cached --others --exclude-standard \
    | tar --null --files-from=- --create --ignore-failed-read | tar --extract --touch --directory "$copy"
export CARGO_TARGET_DIR=$PWD/target/rules/build CARGO_TERM_COLOR=never
rules=$PWD/tests/rules.txt
cd "$copy"

# Fails if a test does.
tests() {
    cargo test --quiet --locked -p sessions-tests --test session -- record:: model:: epoch:: identity:: \
        surroundings:: limit:: cache:: watch:: moving:: device_binding:: \
        && cargo test --quiet --locked -p sessionful --features dbsc --lib -- store:: moving:: device \
        && cargo test --quiet --locked -p sessions-tests --test http -- transport cookie token cache unproven followed_again \
        && cargo test --quiet --locked -p sessions-tests --test schedules
}

echo "== as it is"
tests >../log 2>&1 || { cat ../log; exit 1; }

unnoticed=0
while IFS= read -r line; do
    case $line in '#'* | '') continue ;; esac
    [[ $line == *"${1:-}"* ]] || continue
    name=${line%% ||| *}
    rest=${line#* ||| }
    file=${rest%% ||| *}
    rest=${rest#* ||| }
    from=${rest%% ||| *} to=${rest#* ||| }
    cp "$file" ../before
    if ! FROM=$from TO=$to perl -0pi -e '
        my ($from, $to) = map { s/\\n/\n/gr } @ENV{"FROM", "TO"};
        $found = s/\Q$from\E/$to/; END { exit !$found }' "$file"; then
        echo "MISSING    $name: the text is not in $file any more"
        unnoticed=1
        continue
    fi
    if tests >../log 2>&1; then
        echo "UNNOTICED  $name"
        unnoticed=1
    elif grep -q '^error\[E\|^error: could not compile' ../log; then
        echo "NO BUILD   $name"
        unnoticed=1
    else
        echo "noticed    $name: $(grep -m 3 -o '^test .*FAILED\|^    [a-z_:]*$' ../log | tr -s '\n ' ' ')"
    fi
    cp ../before "$file"
done <"$rules"
exit $unnoticed
