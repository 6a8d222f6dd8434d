#!/usr/bin/env bash
# What Handfast is for, on this machine, with the commands that a person would type.
#
#   demo.sh --bin DIR [--once] [--keep]
#
# A backend that demands a client certificate (Python's ssl module), manifests as kubectl takes
# them, `handfast run` over them; then a rotation under load, a revocation, a CA that goes and comes
# back. Each step is checked: exit status 0 means that every one of them held. --once ends after the
# last step; --keep leaves the directory. Everything it writes is in one temporary directory.
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
. "$here/lib.sh"

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
make_ca ca '/CN=shop CA' orders.shop.svc
issue ca client-1 client '/CN=handfast-1'
issue ca backend server '/CN=orders'
python3 "$here/backend.py" "$work" >backend.log 2>&1 &
running[backend]=$!
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
run_handfast manifests --http "$http" --https "127.0.0.1:$p2" --metrics "$metrics" --admin off
expect 200 "CN=handfast-1 serial=$(serial client-1.crt)"

title "2. The client certificate is rotated in the Secret, under load"
issue ca client-2 client '/CN=handfast-2'
echo "  serial now: $(serial client-1.crt); next: $(serial client-2.crt)"
python3 "$here/load.py" "$http" shop.example >load.log 2>&1 &
running[load]=$!
until_holds "the load did not start" grep -q running load.log
change_secret tls.crt=client-2.crt tls.key=client-2.key ca.crt=ca.crt ca.crl=ca.crl
loaded=0
wait "${running[load]}" || loaded=$?
unset "running[load]"
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
issue ca backend server '/CN=orders'
show "kill -HUP ${running[backend]}   # the backend reads its certificate again"
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

go_on <<TEXT
$ curl -s -H 'Host: shop.example' http://$http/orders
$ curl -s http://$metrics/metrics
$ tail -f $work/access.log
$ \$EDITOR $work/manifests/ingress.yaml
TEXT
