"""Kubernetes objects as dicts. JSON is YAML, so they are written as JSON."""

import base64
import json

NGINX = "nginx.ingress.kubernetes.io/"
OWN = "handfast.dev/"


def dump(*objects):
    return "\n---\n".join(json.dumps(one, indent=1) for one in objects) + "\n"


def metadata(name, namespace, annotations=None, **more):
    found = {"name": name, "namespace": namespace, **more}
    if annotations:
        found["annotations"] = annotations
    return found


def ingress_class(name="handfast", controller="handfast.dev/ingress-controller"):
    return {"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass",
            "metadata": {"name": name}, "spec": {"controller": controller}}


def ingress(name, host=None, *, namespace="shop", service=None, port=443, path="/",
            path_type="Prefix", annotations=None, prefix=NGINX, tls=None, paths=None,
            class_name="handfast", **more):
    """`annotations` are given without prefix; `paths` is [(path, type, service, port)]. Bodies may
    be of any size, unless proxy-body-size is among the annotations."""
    paths = paths or [(path, path_type, service or name, port)]
    rule = {"http": {"paths": [
        {"path": p, "pathType": kind,
         "backend": {"service": {"name": to,
                                 "port": {"number": number} if isinstance(number, int)
                                 else {"name": number}}}}
        for p, kind, to, number in paths]}}
    if host is not None:
        rule["host"] = host
    spec = {"ingressClassName": class_name, "rules": [rule]}
    if tls is not None:
        spec["tls"] = tls
    full = {(prefix + key if "/" not in key else key): value
            for key, value in (annotations or {}).items()}
    if not any(key.endswith("/proxy-body-size") for key in full):
        full[NGINX + "proxy-body-size"] = "0"
    return {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "metadata": metadata(name, namespace, full, **more), "spec": spec}


def service(name, *ports, namespace="shop", port=443, port_name="main"):
    """A Service and the EndpointSlice that leads to `ports` of 127.0.0.1."""
    objects = [{"apiVersion": "v1", "kind": "Service", "metadata": metadata(name, namespace),
                "spec": {"ports": [{"name": port_name, "port": port, "targetPort": port}]}}]
    for number, target in enumerate(ports):
        objects.append(endpoint_slice(f"{name}-{number}", name, target, namespace=namespace,
                                      port_name=port_name))
    return objects


def endpoint_slice(name, service_name, port, *, namespace="shop", port_name="main",
                   addresses=("127.0.0.1",), conditions=None):
    return {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": metadata(name, namespace, labels={
                "kubernetes.io/service-name": service_name}),
            "addressType": "IPv4", "ports": [{"name": port_name, "port": port, "protocol": "TCP"}],
            "endpoints": [{"addresses": list(addresses),
                           "conditions": conditions or {"ready": True}}]}


def secret(name, *, namespace="shop", **keys):
    """Keys as Python names: tls_crt, tls_key, ca_crt, ca_crl; or any by `data={...}`."""
    data = dict(keys.pop("data", {}))
    data.update({key.replace("_", ".", 1): value for key, value in keys.items()
                 if value is not None})
    encoded = {key: base64.b64encode(value if isinstance(value, bytes) else
                                     value.encode()).decode() for key, value in data.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata(name, namespace),
            "type": "Opaque", "data": encoded}


def config_map(name, *, namespace="shop", **data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata(name, namespace),
            "data": {key.replace("_", ".", 1): value for key, value in data.items()}}


def upstream_tls_policy(name, service_name, *, namespace="shop", section=None, hostname=None,
                        ca=None, client=None, validation=None, created=None, **spec):
    """`ca` is a list of references, `client` a Secret's name; other fields of spec by their names."""
    target = {"group": "", "kind": "Service", "name": service_name}
    if section:
        target["sectionName"] = section
    body = {"targetRefs": [target]}
    if spec.get("mode") != "None":
        body["validation"] = {"hostname": hostname or f"{service_name}.{namespace}.svc"}
        if ca is not None:
            body["validation"]["caCertificateRefs"] = ca
        body["validation"].update(validation or {})
    if client:
        body["mode"] = "ClientAndServer"
        body["clientCertificateRef"] = client if isinstance(client, dict) else {"name": client}
    body.update(spec)
    more = {"creationTimestamp": created} if created else {}
    return {"apiVersion": "handfast.dev/v1alpha1", "kind": "UpstreamTLSPolicy",
            "metadata": metadata(name, namespace, **more), "spec": body}


def backend_tls_policy(name, service_name, ca, *, namespace="shop", hostname=None, section=None):
    target = {"group": "", "kind": "Service", "name": service_name}
    if section:
        target["sectionName"] = section
    return {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "BackendTLSPolicy",
            "metadata": metadata(name, namespace),
            "spec": {"targetRefs": [target],
                     "validation": {"hostname": hostname or f"{service_name}.{namespace}.svc",
                                    "caCertificateRefs": ca}}}


def material_ref(kind, name, **more):
    """A reference as policies write it."""
    group = "certificates.k8s.io" if kind == "ClusterTrustBundle" else ""
    return {"group": group, "kind": kind, "name": name, **more}


def reference_grant(name, namespace, from_namespace, kind, *, from_kind="UpstreamTLSPolicy",
                    to_name=None):
    group = "handfast.dev" if from_kind == "UpstreamTLSPolicy" else "gateway.networking.k8s.io"
    to = {"group": "", "kind": kind, **({"name": to_name} if to_name else {})}
    return {"apiVersion": "gateway.networking.k8s.io/v1beta1", "kind": "ReferenceGrant",
            "metadata": metadata(name, namespace),
            "spec": {"from": [{"group": group, "kind": from_kind, "namespace": from_namespace}],
                     "to": [to]}}


def cluster_trust_bundle(name, pem):
    return {"apiVersion": "certificates.k8s.io/v1beta1", "kind": "ClusterTrustBundle",
            "metadata": {"name": name}, "spec": {"trustBundle": pem}}


def backend_tls_policy_crd():
    """Of Gateway API's definition what its status needs: a subresource, and an atomic list."""
    text = {"type": "string"}
    conditions = {"type": "array", "x-kubernetes-list-type": "map",
                  "x-kubernetes-list-map-keys": ["type"], "maxItems": 8, "items": {
                      "type": "object",
                      "required": ["type", "status", "reason", "message", "lastTransitionTime"],
                      "properties": {"lastTransitionTime": {"type": "string",
                                                            "format": "date-time"},
                                     "observedGeneration": {"type": "integer", "minimum": 0},
                                     **{name: text for name in ("type", "status", "reason",
                                                                "message")}}}}
    entry = {"type": "object", "required": ["ancestorRef", "conditions", "controllerName"],
             "properties": {"controllerName": text, "conditions": conditions, "ancestorRef": {
                 "type": "object", "required": ["name"], "properties": {
                     name: text for name in ("group", "kind", "namespace", "name")}}}}
    definition = crd("BackendTLSPolicy", "backendtlspolicies")
    version = definition["spec"]["versions"][0]
    version["subresources"] = {"status": {}}
    version["schema"]["openAPIV3Schema"] = {"type": "object", "properties": {
        "spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "status": {"type": "object", "required": ["ancestors"], "properties": {
            "ancestors": {"type": "array", "x-kubernetes-list-type": "atomic", "maxItems": 16,
                          "items": entry}}}}}
    return definition


def crd(kind, plural, group="gateway.networking.k8s.io", version="v1"):
    """A definition that takes anything: that the kind exists is what matters."""
    return {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{plural}.{group}", "annotations": {
                "api-approved.kubernetes.io": "unapproved, for a test"}},
            "spec": {"group": group, "scope": "Namespaced",
                     "names": {"kind": kind, "plural": plural, "singular": kind.lower(),
                               "listKind": f"{kind}List"},
                     "versions": [{"name": version, "served": True, "storage": True, "schema": {
                         "openAPIV3Schema": {"type": "object",
                                             "x-kubernetes-preserve-unknown-fields": True}}}]}}
