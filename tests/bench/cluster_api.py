"""Delivers a cluster_set to a real API server, with an etcd of its own: those of `./dev kube`."""

import concurrent.futures
import http.client
import json
import pathlib
import ssl
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))

from harness.cluster import NAMESPACE, Cluster  # noqa: E402

WRITERS = 8


class ApiServer:
    def __init__(self):
        self._cluster = Cluster()
        self._cluster.namespace(NAMESPACE)
        self._cluster.install("crds", "rbac.yaml")
        self._each = threading.local()
        self.controller_arguments = ("--kubeconfig", self._cluster.account_kubeconfig())
        self.environment = {"POD_NAME": "handfast-0", "POD_NAMESPACE": NAMESPACE}

    def close(self):
        self._cluster.close()

    def load(self, things):
        """All of them, namespaces too."""
        things = list(things)
        for name in sorted({one["metadata"].get("namespace") for one in things} - {None}):
            self._cluster.namespace(name)
        with concurrent.futures.ThreadPoolExecutor(WRITERS) as pool:
            for _ in pool.map(self._create, things, chunksize=50):
                pass

    def _create(self, thing):
        self._write("POST", Cluster.path_of(thing).rsplit("/", 1)[0], thing)

    def put(self, thing):
        self._write("PUT", Cluster.path_of(thing), thing)

    def _write(self, method, path, thing):
        connection = getattr(self._each, "connection", None)
        if connection is None:
            context = ssl.create_default_context(cafile=self._cluster.folder / "ca.crt")
            context.load_cert_chain(*(self._cluster.folder / f"admin.{end}"
                                      for end in ("crt", "key")))
            connection = self._each.connection = http.client.HTTPSConnection(
                "127.0.0.1", self._cluster.port, context=context, timeout=60)
        connection.request(method, path, json.dumps(thing), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise SystemExit(f"{method} {path}: {answer.status} {text[:300]}")
