#!/usr/bin/env bash
# Handfast as a sidecar, on this machine: mutual TLS in front of an app that speaks plain HTTP.
#
#   sidecar.sh --bin DIR [--once] [--keep]
#
# What a pod of manifests/examples/sidecar/sidecar.yaml does: its ConfigMap's manifests and its flags,
# but for ports and paths, and its Secrets in a volume that is swapped as kubelet does it. Each step
# is checked: exit status 0 means that every one of them held. --once ends after the last step; --keep
# leaves the directory. Everything it writes is in one temporary directory.
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
. "$here/lib.sh"
example=$here/../../manifests/examples/sidecar/sidecar.yaml
host=app.default.svc

# --- the pod's volume ----------------------------------------------------------------------------

manifests() { sed -n '/^  app.yaml: |$/,/^[^ ]/{s/^    //p}' "$example" | sed "s/8080/$(<app.port)/"; }

# The flags of the container, but for those that name a port or a path, and for the wait at the end.
flags() { sed -n 's/^ *- \(--[a-z-]*=[^:]*\)$/\1/p' "$example" | grep -Ev '^--(state-dir|temp-dir|shutdown-delay)='; }

# swap PATH=FILE…: the volume's next content, as kubelet brings it: a directory beside the old one, and
# one rename of a link.
versions=0
swap() {
  local item to old new=..$((++versions))
  for item in "$@"; do
    to=volume/$new/${item%%=*}
    mkdir -p "${to%/*}"
    cp "${item#*=}" "$to"
  done
  old=$(readlink volume/..data || true)
  ln -s "$new" volume/..data_tmp
  mv -T volume/..data_tmp volume/..data
  for item in volume/..data/*; do ln -sfn "..data/${item##*/}" "volume/${item##*/}"; done
  find volume -maxdepth 1 -xtype l -delete
  [[ ! $old ]] || rm -r "volume/$old"
}

# The volume becomes what the arguments say beside the server's pair, and is shown.
server=server-1
change_volume() {
  local files=(app.yaml=app.yaml "server.secret/tls.crt=$server.crt" "server.secret/tls.key=$server.key" "$@")
  swap "${files[@]}"
  changed=$(date +%s%3N)
  show 'cd volume && ls -d *.yaml *.secret/* && readlink ..data'
}

# --- clients -------------------------------------------------------------------------------------

# client LEAF ARGUMENT…: the command of a client that shows LEAF, or nothing if that is empty.
client() {
  local words=(curl -s -m 5 --cacert servers.crt --connect-to "::$https" -w "'HTTP %{http_code}\n'")
  [[ ! $1 ]] || words+=(--cert "$1.crt" --key "$1.key")
  words+=("${@:2}" "https://$host/")
  echo "${words[*]}"
}
answers() { local text; text=$(eval "$(client "$1")") || return 1; grep -q "HTTP $2\$" <<<"$text"; }

# expect LEAF STATUS [TEXT [ARGUMENT…]]: the answer must become STATUS, is then shown, and must hold TEXT.
expect() {
  until_holds "expected status $2 for '$1'; the last answer: $(eval "$(client "$1")" || true)" answers "$1" "$2"
  [[ -z ${changed-} ]] || took=$(($(date +%s%3N) - changed))
  show "$(client "$1" "${@:4}")" | tee shown
  sed 1d shown | grep -q -- "${3:-}" || fail "the answer does not hold '$3'"
}

# The access log must give the word as the reason.
says() {
  until_holds "the access log does not say $1" grep -q "\"upstream_tls_error\":\"$1\"" access.log
  show "grep -o '\"upstream_tls_error\":\"$1\"' access.log | tail -1"
}

in_time() {
  echo "  $took ms after the swap"
  ((took <= 1000)) || fail "it took more than a second"
}

# hold LEAF: a connection that stays open.
hold() {
  mkfifo "$1.in"
  openssl s_client -quiet -connect "$https" -servername $host -CAfile servers.crt -cert "$1.crt" \
    -key "$1.key" -verify_return_error <"$1.in" >"$1.out" 2>"$1.err" &
  held[$1]=$!
  exec {to}>"$1.in"
  ends[$1]=$to
  ask "$1"
}
declare -A held=() ends=()

answered() { [[ $(grep -c '^HTTP/1.1 200' "$1.out") == "$2" ]]; }
ask() {
  local before
  before=$(grep -c '^HTTP/1.1 200' "$1.out" || true)
  printf 'GET /held HTTP/1.1\r\nHost: %s\r\n\r\n' $host >&"${ends[$1]}"
  until_holds "the open connection of $1 was not answered" answered "$1" $((before + 1))
  echo "  the open connection of $1 is answered"
}
is_closed() { ! kill -0 "${held[$1]}" 2>/dev/null; }

shown_serial() {
  openssl s_client -connect "$https" -servername $host </dev/null 2>/dev/null |
    openssl x509 -noout -serial | cut -d= -f2
}
shows() { [[ $(shown_serial) == "$(serial "$1.crt")" ]]; }

# --- the steps -----------------------------------------------------------------------------------

title "0. A CA of servers, one of clients, an app that speaks plain HTTP, and a pod's volume"
make_ca servers '/CN=servers CA' $host
make_ca clients '/CN=clients CA' none.invalid
make_ca others '/CN=others CA' none.invalid
issue servers server-1 server "/CN=$host"
issue clients alice client '/CN=alice'
issue clients bob client '/CN=bob'
issue others mallory client '/CN=mallory'
python3 "$here/app.py" "$work" >app.log 2>&1 &
running[app]=$!
until_holds "the app did not start" test -s app.port
manifests >app.yaml
mkdir volume
clients=(clients.secret/ca.crt=clients.crt clients.secret/ca.crl=clients.crl)
change_volume "${clients[@]}"
unset changed
show 'sed -n "/kind: Ingress$/,/^---/p" volume/app.yaml'
echo "  the app, as it is without the sidecar:"
show "curl -s http://127.0.0.1:$(<app.port)/"

title "1. handfast run: only TLS, only with a certificate"
read -r p1 p2 < <(free_ports 2)
https=127.0.0.1:$p1 metrics=127.0.0.1:$p2
mapfile -t given < <(flags)
run_handfast volume "${given[@]}" --https "$https" --metrics "$metrics"
expect "" 400
says no_client_certificate

title "2. A certificate of the clients' CA: the app is told whose, and by nobody else"
expect alice 200 "ssl-client-subject-dn: CN=alice"
echo "  what a client says of itself is taken out:"
expect alice 200 "ssl-client-subject-dn: CN=alice" \
  -H "'ssl-client-subject-dn: CN=root'" -H "'X-Forwarded-Client-Cert: Subject=\"CN=root\"'"
! sed 1d shown | grep -q root || fail "the app was told what the client said of itself"

title "3. A certificate of another CA"
expect mallory 400
says bad_client_certificate

title "4. The sidecar's own certificate is rotated, and an open connection stays"
hold alice
hold bob
issue servers server-2 server "/CN=$host"
server=server-2
change_volume "${clients[@]}"
until_holds "the new certificate is not shown" shows server-2
echo "  new connections are shown serial $(shown_serial)"
ask alice
expect alice 200

title "5. alice is revoked: ca.crl in the Secret"
show "openssl ca -config clients.cnf -revoke alice.crt"
show "openssl ca -config clients.cnf -gencrl -out clients.crl"
change_volume "${clients[@]}"
expect alice 400
in_time
until_holds "the open connection of alice was not closed" is_closed alice
took=$(($(date +%s%3N) - changed))
echo "  the open connection of alice is closed"
in_time
ask bob

title "6. The Secret of the clients' CA is deleted: nobody is let in"
change_volume
expect bob 403
says ca_missing
until_holds "the open connection of bob was not closed" is_closed bob
echo "  the open connection of bob is closed"

title "7. It is put back"
change_volume "${clients[@]}"
expect bob 200 "ssl-client-subject-dn: CN=bob"

title "Every step held."
[[ -z $once ]] || exit 0

go_on <<TEXT
$ cd $work
$ $(client bob)
$ $(client alice)
$ curl -s http://$metrics/metrics
$ tail -f access.log
TEXT
