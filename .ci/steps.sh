# What .ci/run and .ci/long are made of: a step is a function, and is told with what it took.  To be sourced.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PIP_DISABLE_PIP_VERSION_CHECK=1

logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
declare -A processes
pages=.tox/ci-pages
more=.tox/ci-more
suites=(tests/{unit,conformance,faults,integration,oracle,plugin})  # testpaths of pyproject.toml

# Note how it ended, how long it took, and the seconds of the processor.
step() {
    local name=$1 code TIMEFORMAT="%R %U %S"
    echo "== $name"
    { time "$name" 2>&4; } 4>&2 2>"$logs/$name.seconds"
    code=$?
    echo "$name $code $(<"$logs/$name.seconds")" >>"$logs/steps"
    return $code
}

# Set `files` to the tests in some folders that say something.  To collect all, thousands of pure ones among them, takes
# each process of a run three seconds.
find_files_that_say() {
    mapfile -t files < <(grep -rlE --include='test_*.py' "$@" | sort)
}

one_after_the_other() {
    local code=0 name
    for name in "$@"; do
        step "$name" || code=1
    done
    return $code
}

# Steps that go on beside others: they leave a processor idle now and then. What they say comes when they are over.
begin() {
    local name
    for name in "$@"; do
        step "$name" >"$logs/$name" 2>&1 &
        processes[$name]=$!
    done
}

finish() {
    local name
    for name in "$@"; do
        wait "${processes[$name]}"
        grep -q "^$name " "$logs/steps" || echo "$name 1 0 0 0" >>"$logs/steps"  # it was killed
        cat "$logs/$name"
    done
}

# Further extras go into copies of the environment, which leaves the first one as the README makes it: the plugins for
# pytest that "zoo" brings change what other steps start. By the package's name, which is installed: by its folder, pip
# would compile the extension again.
copy_with() {
    local copy=$1
    shift
    mkdir -p .tox && rm -rf "$copy" && cp -al .venv "$copy" || return 1
    grep -lI "^#!$PWD/.venv/" "$copy"/bin/* | xargs sed -i "1s|$PWD/.venv/|$PWD/$copy/|"
    "$copy"/bin/python -m pip show -q nodecluster-compat && "$copy"/bin/python -m pip install -q "$@"
}

# Real servers and a real browser, where Debian's packages can be had; a test skips what the machine lacks.
debian_packages() {
    local name missing=()
    for name in "$@"; do
        dpkg -s "$name" >/dev/null 2>&1 || missing+=("$name")
    done
    if [ ${#missing[@]} -gt 0 ] && [ "$(id -u)" = 0 ]; then
        apt-get update
        for name in "${missing[@]}"; do
            DEBIAN_FRONTEND=noninteractive apt-get install -y "$name"
        done
    fi
    return 0
}

# Say what each step took, which have failed, and last how the tests in a log have ended.
tell() {
    echo "== seconds by the clock, and of the processor"
    awk '{ printf "%-24s %6.0f %6.0f\n", $1, $3, $4 + $5 }' "$logs/steps"
    awk '$2 { print "FAILED: " $1; code = 1 } END { exit code }' "$logs/steps"
    local code=$?
    grep -aE '^=+ .* in [0-9.]+s( \([0-9:]+\))? =+$' "$1" | tail -n 1
    return $code
}
