# What the demos have in common, to be sourced by them: arguments, a directory that is removed at the
# end together with the processes, steps that are shown and checked, and certificates.
#
# The processes are in `running`, by name; each writes NAME.log.
set -Eeuo pipefail

bin="" once="" keep=""
while (($#)); do
  case $1 in
    --bin) bin=$(readlink -f "$2"); shift ;;
    --once) once=yes ;;
    --keep) keep=yes ;;
    *) echo "demo: unknown argument $1" >&2; exit 2 ;;
  esac
  shift
done
[[ -x $bin/handfast ]] || { echo "demo: no handfast in '$bin'; use ./dev demo" >&2; exit 2; }

work=$(mktemp -d)
cd "$work"
declare -A running=()

clean_up() {
  local status=$?
  trap '' INT TERM
  local process
  for process in "${running[@]}"; do kill "$process" 2>/dev/null || true; done
  for process in "${running[@]}"; do wait "$process" 2>/dev/null || true; done
  if [[ $keep ]]; then echo "left: $work"; else rm -rf "$work"; fi
  exit $status
}
trap clean_up EXIT
trap 'exit 130' INT TERM

title() { printf '\n\033[1m%s\033[0m\n' "$*"; }
indent() { sed 's/^/    /'; }

# Shows a command as one would type it, runs it and shows what it says.
show() {
  printf '  $ %s\n' "$*"
  eval "$@" 2>&1 | indent
}

fail() {
  printf '\n\033[1mDEMO FAILED\033[0m: %s\n' "$*"
  local log
  for log in *.log; do
    [[ ! -s $log ]] || { echo "--- last lines of $log"; tail -n 15 "$log"; }
  done
  exit 1
}

trap 'fail "line $LINENO: $BASH_COMMAND"' ERR

# Repeats a quiet check until it holds; what is waited for should take well under a second.
until_holds() {
  local what=$1 deadline=$((SECONDS + 15)) process
  shift
  until "$@"; do
    ((SECONDS < deadline)) || fail "$what"
    for process in "${!running[@]}"; do
      kill -0 "${running[$process]}" 2>/dev/null || fail "$what: $process ended"
    done
    sleep 0.02
  done
}

# run_handfast DIR FLAG…: starts it, as one would type it, and waits until it is ready.
run_handfast() {
  local command=(run "$@" --state-dir "$work/state")
  echo "  \$ handfast ${command[*]/$work\//}"
  "$bin/handfast" "${command[@]}" >access.log 2>handfast.log &
  running[handfast]=$!
  until_holds "handfast is not ready" is_ready
}

is_ready() { curl -sf -m 5 -o /dev/null "http://$metrics/readyz"; }

# The end of a demo without --once, after the text on stdin.
go_on() {
  printf '\n  It goes on running; Ctrl-C ends it and removes %s. Try:\n\n' "$work"
  indent
  trap 'exit 0' INT TERM
  wait "${running[handfast]}" || fail "handfast ended"
}

free_ports() {
  python3 -c 'import socket, sys
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
print(*[one.getsockname()[1] for one in held])' "$1"
}

# --- certificates, by the openssl command line ---------------------------------------------------

# make_ca NAME SUBJECT SERVER: NAME.crt and NAME.key, an empty list NAME.crl, and NAME.cnf to issue
# with; its server certificates have the DNS name SERVER.
make_ca() {
  cat >"$1.cnf" <<CNF
[req]
distinguished_name = dn
prompt = no
[dn]
O = demo
[authority]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[client]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = clientAuth
[server]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = DNS:$3
[ca]
default_ca = default
[default]
database = $1.index
crlnumber = $1.crlnumber
certificate = $1.crt
private_key = $1.key
default_md = sha256
default_crl_days = 30
crl_extensions = crl
[crl]
authorityKeyIdentifier = keyid
CNF
  : >"$1.index"
  echo 01 >"$1.crlnumber"
  openssl req -x509 -config "$1.cnf" -extensions authority -subj "$2" -days 3650 \
    -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1.key" -out "$1.crt" 2>/dev/null
  openssl ca -config "$1.cnf" -gencrl -out "$1.crl" 2>/dev/null
}

# issue CA FILE KIND SUBJECT: FILE.crt and FILE.key, signed by the CA.
issue() {
  openssl req -x509 -config "$1.cnf" -extensions "$3" -subj "$4" -days 90 -CA "$1.crt" \
    -CAkey "$1.key" -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$2.key" \
    -out "$2.crt" 2>/dev/null
}

serial() { openssl x509 -in "$1" -noout -serial | cut -d= -f2; }
