#!/usr/bin/env bash
# What Handfast is for, on this machine, with the commands that a person would type.
#
#   demo.sh --bin DIR [--once] [--keep]
#
# A backend that demands a client certificate (Python's ssl module), manifests as kubectl takes
# them, `handfast run` over them; then a rotation under load, a revocation, a CA that goes and comes
# back. Each step is checked: exit status 0 means that every one of them held. --once ends after the
# last step; --keep leaves the directory. Everything it writes is in one temporary directory.
set -Eeuo pipefail
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")

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
backend="" handfast="" load=""

clean_up() {
  local status=$?
  trap '' INT TERM
  local process
  for process in $load $handfast $backend; do kill "$process" 2>/dev/null || true; done
  for process in $load $handfast $backend; do wait "$process" 2>/dev/null || true; done
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
  for log in handfast.log access.log backend.log; do
    [[ ! -s $log ]] || { echo "--- last lines of $log"; tail -n 15 $log; }
  done
  exit 1
}

trap 'fail "line $LINENO: $BASH_COMMAND"' ERR

# Repeats a quiet check until it holds; what is waited for should take well under a second.
until_holds() {
  local what=$1 deadline=$((SECONDS + 15))
  shift
  until "$@"; do
    ((SECONDS < deadline)) || fail "$what"
    kill -0 $backend 2>/dev/null || fail "the backend ended"
    [[ -z $handfast ]] || kill -0 "$handfast" 2>/dev/null || fail "handfast ended"
    sleep 0.02
  done
}

answer() { curl -s -m 5 -w 'HTTP %{http_code}\n' -H 'Host: shop.example' "http://$http/orders"; }
answers() { local text; text=$(answer) || return 1; grep -q "HTTP $1\$" <<<"$text" && grep -q "${2:-}" <<<"$text"; }

# The answer must become STATUS (with TEXT in the body), and is then shown.
expect() {
  until_holds "expected status $1 ${2:+and '$2'}; the last answer: $(answer || true)" answers "$@"
  show "curl -s -w 'HTTP %{http_code}\n' -H 'Host: shop.example' http://$http/orders"
}

# The access log must give the word as the reason.
says() {
  until_holds "the access log does not say $1" grep -q "\"upstream_tls_error\":\"$1\"" access.log
  show "grep -o '\"upstream_tls_error\":\"$1\"' access.log | tail -1"
}

free_ports() {
  python3 -c 'import socket, sys
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
print(*[one.getsockname()[1] for one in held])' "$1"
}

# --- certificates, by the openssl command line ---------------------------------------------------

make_ca() {
  cat >ca.cnf <<'CNF'
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
subjectAltName = DNS:orders.shop.svc
[ca]
default_ca = shop
[shop]
database = index.txt
crlnumber = crlnumber
certificate = ca.crt
private_key = ca.key
default_md = sha256
default_crl_days = 30
crl_extensions = crl
[crl]
authorityKeyIdentifier = keyid
CNF
  : >index.txt
  echo 01 >crlnumber
  openssl req -x509 -config ca.cnf -extensions authority -subj '/CN=shop CA' -days 3650 \
    -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.crt 2>/dev/null
  make_crl
}

make_crl() { openssl ca -config ca.cnf -gencrl -out ca.crl 2>/dev/null; }

# issue FILE KIND SUBJECT: FILE.crt and FILE.key, signed by the CA.
issue() {
  openssl req -x509 -config ca.cnf -extensions "$2" -subj "$3" -days 90 -CA ca.crt -CAkey ca.key \
    -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1.key" -out "$1.crt" 2>/dev/null
}

serial() { openssl x509 -in "$1" -noout -serial | cut -d= -f2; }

# --- manifests -----------------------------------------------------------------------------------

# secret KEY=FILE…: the Secret as YAML, as `kubectl create secret generic --from-file` makes it.
secret() {
  printf 'apiVersion: v1\nkind: Secret\nmetadata: {name: orders-tls, namespace: shop}\nstringData:\n'
  local item
  for item in "$@"; do
    printf '  %s: |\n' "${item%%=*}"
    sed 's/^/    /' "${item#*=}"
  done
}

# put FILE: stdin becomes the manifest by one rename, as an editor does it.
put() { cat >new && mv new "manifests/$1"; }

# The Secret becomes what the arguments say, shown as one would type it.
change_secret() { show "secret $* >new && mv new manifests/secret.yaml"; }

write_manifests() {
  mkdir manifests
  put ingress.yaml <<'YAML'
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: handfast}
spec: {controller: handfast.dev/ingress-controller}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: orders
  namespace: shop
  annotations:
    nginx.ingress.kubernetes.io/backend-protocol: HTTPS
    nginx.ingress.kubernetes.io/proxy-ssl-secret: shop/orders-tls
spec:
  ingressClassName: handfast
  rules:
    - host: shop.example
      http:
        paths:
          - path: /
            pathType: Prefix
            backend: {service: {name: orders, port: {number: 443}}}
YAML
  put service.yaml <<YAML
apiVersion: v1
kind: Service
metadata: {name: orders, namespace: shop}
spec:
  ports: [{name: https, port: 443, targetPort: $1}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: orders-1
  namespace: shop
  labels: {kubernetes.io/service-name: orders}
addressType: IPv4
ports: [{name: https, port: $1, protocol: TCP}]
endpoints:
  - addresses: [127.0.0.1]
    conditions: {ready: true}
YAML
}

# --- the steps -----------------------------------------------------------------------------------

title "0. A CA, a client certificate, a backend that demands one, and manifests"
make_ca
issue client-1 client '/CN=handfast-1'
issue backend server '/CN=orders'
python3 "$here/backend.py" "$work" >backend.log 2>&1 &
backend=$!
until_holds "the backend did not start" test -s backend.port
write_manifests "$(<backend.port)"
show cat manifests/ingress.yaml
echo "  'secret' stands for 'kubectl create secret generic orders-tls --dry-run=client -o yaml --from-file …':"
change_secret tls.crt=client-1.crt tls.key=client-1.key ca.crt=ca.crt ca.crl=ca.crl
show ls manifests
echo "  backend: 127.0.0.1:$(<backend.port), a Python TLS server; it refuses whoever shows no certificate:"
show "curl -s -S -k --tls-max 1.2 https://127.0.0.1:$(<backend.port)/ || true"

title "1. handfast run: from manifests to mutual TLS"
read -r p1 p2 p3 < <(free_ports 3)
http=127.0.0.1:$p1 metrics=127.0.0.1:$p3
run=(run manifests --http "$http" --https "127.0.0.1:$p2" --metrics "$metrics" --admin off
  --state-dir "$work/state")
echo "  \$ handfast ${run[*]/$work\//}"
"$bin/handfast" "${run[@]}" >access.log 2>handfast.log &
handfast=$!
is_ready() { curl -sf -m 5 -o /dev/null "http://$metrics/readyz"; }
until_holds "handfast is not ready" is_ready
expect 200 "CN=handfast-1 serial=$(serial client-1.crt)"

title "2. The client certificate is rotated in the Secret, under load"
issue client-2 client '/CN=handfast-2'
echo "  serial now: $(serial client-1.crt); next: $(serial client-2.crt)"
python3 "$here/load.py" "$http" shop.example >load.log 2>&1 &
load=$!
until_holds "the load did not start" grep -q running load.log
change_secret tls.crt=client-2.crt tls.key=client-2.key ca.crt=ca.crt ca.crl=ca.crl
loaded=0
wait $load || loaded=$?
load=""
grep -v running load.log | indent
((loaded == 0)) || fail "the rotation was not clean"
grep -q "answered under serial $(serial client-2.crt)" load.log || fail "the new serial was not seen"
expect 200 "CN=handfast-2 serial=$(serial client-2.crt)"

title "3. The backend's certificate is revoked: ca.crl in the Secret"
show "openssl ca -config ca.cnf -revoke backend.crt"
show "openssl ca -config ca.cnf -gencrl -out ca.crl"
change_secret tls.crt=client-2.crt tls.key=client-2.key ca.crt=ca.crt ca.crl=ca.crl
expect 502
says revoked

title "4. The backend gets a new certificate"
issue backend server '/CN=orders'
show "kill -HUP $backend   # the backend reads its certificate again"
expect 200 "CN=handfast-2"

title "5. ca.crt is taken out of the Secret: nothing to verify with, so nothing is sent"
change_secret tls.crt=client-2.crt tls.key=client-2.key ca.crl=ca.crl
expect 503
says ca_missing

title "6. ca.crt is put back"
change_secret tls.crt=client-2.crt tls.key=client-2.key ca.crt=ca.crt ca.crl=ca.crl
expect 200 "CN=handfast-2"

title "7. What /metrics says"
curl -s -m 5 "http://$metrics/metrics" >metrics.txt
for name in handfast_upstream_tls_handshakes_total handfast_client_certificate_not_after_seconds \
  handfast_crl_next_update_seconds handfast_generation; do
  grep -q "^$name[{ ]" metrics.txt || fail "/metrics does not have $name"
done
grep -q '^handfast_upstream_tls_handshakes_total{.*reason="revoked"' metrics.txt ||
  fail "/metrics does not count the revoked handshake"
show "curl -s http://$metrics/metrics | grep -E '^handfast_(upstream_tls_handshakes|client_certificate|crl_next|generation[ {])'"

title "Every step held."
[[ -z $once ]] || exit 0

cat <<TEXT

  It goes on running; Ctrl-C ends it and removes $work. Try:

  $ curl -s -H 'Host: shop.example' http://$http/orders
  $ curl -s http://$metrics/metrics
  $ tail -f $work/access.log
  $ \$EDITOR $work/manifests/ingress.yaml
TEXT
trap 'exit 0' INT TERM
wait $handfast || fail "handfast ended"
