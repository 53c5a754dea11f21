# Sourced after prepare.sh by the scripts that train: a daemon of their own, which leaves nothing behind.

# start_private_daemon [MODEL]: builds the programs, fetches the model (of etc/lib/fetch-model; smollm2), and starts t2d in a
# temporary directory, $prefix, with the model, whose file is $model, registered; it ends with the script. 't2ctl' talks to it.
start_private_daemon() {
  local product name=${1:-smollm2}
  need_swift
  for product in t2d t2-worker t2-sandbox t2ctl; do swift build -c release --product "$product" --quiet; done
  bin=$(swift build -c release --show-bin-path)
  mkdir -p var/lib/t2d && chmod 700 var/lib/t2d
  model=$PWD/$(fetch_model "$name" var/lib/t2d/models)

  prefix=$(mktemp -d)
  daemon=
  trap stop_private_daemon EXIT
  mkdir -p "$prefix/etc/t2d" "$prefix/var/spool/t2d/tasks"
  cp etc/t2d/dispatch.txt "$prefix/etc/t2d"
  # Nothing but the training is wanted of this daemon: its searches see one mixture, and it checks nothing.
  echo '{ checks: { on_arrival: false }, search: { population: 2, elites: 2, iterations: 1, shots: 1 } }' \
    >"$prefix/etc/t2d/t2d.json5"
  "$bin/t2d" --prefix "$prefix" 2>"$prefix/log" &
  daemon=$!
  for _ in $(seq 100); do
    t2ctl --timeout 5 status >/dev/null 2>&1 && break
    kill -0 "$daemon" 2>/dev/null || { tail -n 20 "$prefix/log" >&2; die "t2d did not start; its log is above"; }
    sleep 0.1
  done
  t2ctl model add "$model" --name "$name" >&2
}

stop_private_daemon() {
  [ -z "$daemon" ] || { kill "$daemon" 2>/dev/null || true; wait "$daemon" 2>/dev/null || true; }
  rm -rf "$prefix"
}

t2ctl() { "$bin/t2ctl" --prefix "$prefix" "$@"; }

# failing STATUS: the last lines of the log, and the end.
failing() { tail -n 20 "$prefix/log" >&2; exit "$1"; }
