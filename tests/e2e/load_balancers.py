"""Gives Services of type LoadBalancer an address, as a cloud would: kube-proxy does the rest."""

import http.client
import json
import ssl

ADDRESSES = "198.18.64.{}"


class LoadBalancers:
    def __init__(self, api, pki):
        self.api = api
        self.context = ssl.create_default_context(cafile=pki / "ca.crt")
        self.context.load_cert_chain(pki / "admin.crt", pki / "admin.key")
        self.given = {}

    def request(self, method, path, body=None):
        connection = http.client.HTTPSConnection(*self.api, context=self.context, timeout=20)
        try:
            connection.request(method, path, None if body is None else json.dumps(body),
                               {"Content-Type": "application/merge-patch+json"} if body else {})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or "null")
        finally:
            connection.close()

    def look(self):
        """Once; what fails is done the next time."""
        try:
            status, services = self.request("GET", "/api/v1/services")
            if status != 200:
                return
            for service in services["items"]:
                if (service["spec"]["type"] == "LoadBalancer"
                        and not service["status"]["loadBalancer"].get("ingress")):
                    self.give(service["metadata"])
        except (OSError, ValueError, http.client.HTTPException):
            pass

    def give(self, metadata):
        name = f"{metadata['namespace']}/services/{metadata['name']}"
        address = self.given.setdefault(name, ADDRESSES.format(len(self.given) + 1))
        self.request("PATCH", f"/api/v1/namespaces/{name}/status",
                     {"status": {"loadBalancer": {"ingress": [{"ip": address}]}}})
