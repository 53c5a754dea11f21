# Sourced after prepare.sh by etc/test and .ci/run: runs of `swift test`, counted, and the two lines at the end.

# start_tally: from here on the script ends with how long it took and `N passed, N failed`, however it ends, and fails
# where no test was counted: a run that never was is no success.
start_tally() {
  tally_started=${T2D_STARTED:-$(date +%s)}
  tally_log=$(mktemp)
  tally_failed_runs=0
  trap end_tally EXIT
}

# tally COMMAND...: shows what the command says and remembers it; one that fails lets the next ones run.
tally() {
  local before after
  before=$(counted_tests)
  "$@" 2>&1 | tee -a "$tally_log" || tally_failed_runs=$((tally_failed_runs + 1))
  after=$(counted_tests)
  # A filter may leave nothing for one of several runs.
  if [ "$after" = "$before" ] && [ "${#filter[@]}" = 0 ]; then
    say "no test was counted in: $*"
    tally_failed_runs=$((tally_failed_runs + 1))
  fi
}

# Swift Testing closes each run with "Test run with N tests in M suites passed|failed ... (with K issues)", and each test,
# case of a test and suite with a line of its own. etc/fuzz says `fuzzed NAME: passed|failed` of each reader, and
# etc/lib/check-made `made NAME: passed|failed` of each script, which is a test; pytest -q closes with
# `N failed, M passed, ... in 1.23s`.
counted_tests() {
  sed -n -e 's/.*Test run with \([0-9]*\) tests\{0,1\}.*/\1/p' -e 's/^\(fuzzed\|made\) [a-z0-9-]*: \(passed\|failed\)$/1/p' \
    -e 's/^\([0-9]*\) failed, \([0-9]*\) passed.* in [0-9.]*s.*/\1 \2/p' -e 's/^\([0-9]*\) \(passed\|failed\).* in [0-9.]*s.*/\1/p' \
    "$tally_log" | awk '{ n += $1 + $2 } END { print n + 0 }'
}

end_tally() {
  local status=$? total failed seconds
  total=$(counted_tests)
  failed=$(grep -E '^.{0,4}Test .* failed after' "$tally_log" | grep -cvE '^.{0,4}Test (run with|case) ' || true)
  failed=$((failed + $(grep -cE '^(fuzzed|made) [a-z0-9-]+: failed$' "$tally_log" || true)))
  failed=$((failed + $(sed -n 's/^\([0-9]*\) failed.* in [0-9.]*s.*/\1/p' "$tally_log" | awk '{ n += $1 } END { print n + 0 }')))
  rm -f "$tally_log"
  [ "$status" = 0 ] || tally_failed_runs=$((tally_failed_runs + 1))
  if [ "$total" = 0 ]; then
    say "no test was run"
    tally_failed_runs=$((tally_failed_runs + 1))
  fi
  # A run that ended without saying which test failed counts as one.
  [ "$tally_failed_runs" = 0 ] || [ "$failed" -gt 0 ] || failed=1
  seconds=$(($(date +%s) - tally_started))
  echo "took $((seconds / 60)) min $((seconds % 60)) s"
  echo "$((total > failed ? total - failed : 0)) passed, $failed failed"
  [ "$failed" = 0 ] || [ "$status" != 0 ] || status=1
  exit "$status"
}
