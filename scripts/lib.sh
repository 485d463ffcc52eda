# lib - what scripts/build, run and test share; source it, don't run it
#
#   install_missing build test   installs those packages of scripts/packages that are missing (root, Debian)
#   build_preset release todoku  configures when needed, builds the target (all without one), says how long it took
#
# Each says what it does. They return 1, with a sentence on stderr, when it can't be done.

set -u
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root" || exit 1
export TODOKU_SHARED=${TODOKU_SHARED:-$root/../shared}
jobs=$(nproc 2>/dev/null || echo 2)

say() { printf '%s\n' "$*"; }
complain() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

# The packages of scripts/packages for the given needs.
packages_for() {
    local need
    for need in "$@"; do
        awk -v need="$need" '!/^#/ && $2 == need { print $1 }' scripts/packages
    done
}

# Those of the given packages that are not installed. A package that only provides the name counts (pkgconf for pkg-config).
packages_missing() {
    dpkg-query -W -f '${db:Status-Status} ${Package}, ${Provides}\n' 2>/dev/null | awk -v wanted="$*" '
        $1 == "installed" { for (i = 2; i <= NF; i++) { sub(/,$/, "", $i); have[$i] = 1 } }
        END { n = split(wanted, name, " "); for (i = 1; i <= n; i++) if (!(name[i] in have)) print name[i] }'
}

apt() {
    DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 -q "$@" </dev/null
}

install_missing() {
    local missing log=build/packages.log
    if ! command -v dpkg-query >/dev/null; then
        complain "this is no Debian: the packages in scripts/packages are taken for granted"
        return 0
    fi
    missing=$(packages_missing $(packages_for "$@"))
    missing=${missing//$'\n'/ }
    [ -n "$missing" ] || return 0
    if [ "$(id -u)" != 0 ]; then
        complain "these packages are missing; as root: apt-get install --no-install-recommends $missing"
        return 1
    fi
    say "Installing $missing"
    mkdir -p build
    if ! { apt update && apt install -y --no-install-recommends $missing; } >"$log" 2>&1; then
        tail -n 15 "$log" >&2
        complain "apt-get could not install them; all it said is in $log"
        return 1
    fi
}

build_preset() {
    local preset=$1 folder=build/$1 log=build/$1.log start=$SECONDS
    mkdir -p build
    say "Building $folder"
    if [ ! -f "$folder/build.ninja" ] && ! cmake --preset "$preset" >"$log" 2>&1; then
        tail -n 25 "$log" >&2
        complain "cmake could not configure $folder; all it said is in $log"
        return 1
    fi
    if ! ninja -C "$folder" -j "$jobs" ${2:+$2} >"$log" 2>&1; then
        grep -vE '^\[[0-9]+/[0-9]+\] |^ninja: Entering' "$log" | tail -n 40 >&2
        complain "$folder could not be built; all that was said is in $log"
        return 1
    fi
    say "Built $folder in $((SECONDS - start)) s"
}
