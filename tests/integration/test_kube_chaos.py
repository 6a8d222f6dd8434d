"""What becomes of a controller whose API server restarts, forgets, stalls and loses connections: no
request fails, no change is lost, and what is gone stays gone."""

import os
import random
import signal
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from harness import cluster, manifests  # noqa: E402
from harness.backends import Backend  # noqa: E402
from harness.cable import Cable, NoNamespaces  # noqa: E402
from harness.cluster import ClusterPair  # noqa: E402
from harness.kube_case import KubeCase  # noqa: E402
from harness.pki import Authority  # noqa: E402
from harness.relay import Relay  # noqa: E402
from harness.traffic import Requests  # noqa: E402
from harness.waiting import eventually  # noqa: E402

RESTARTS = int(os.environ.get("HANDFAST_KUBE_RESTARTS", "4"))


class ChaosCase(KubeCase):
    def setUp(self):
        super().setUp()
        self.backend = self.use(Backend(address="0.0.0.0"))

    def route(self, suffix="", **options):
        return manifests.ingress(f"{self.name}{suffix}", f"{suffix or 'main'}.{self.host}",
                                 service=self.name, **options)

    def wait_for_route(self, suffix, status, **options):
        self.pair.wait_for(f"{suffix or 'main'}.{self.host}", status, **options)

    def begin(self):
        """A route that works, and requests to it without end."""
        self.cluster.apply(manifests.service(self.name, self.backend.port), self.route())
        self.wait_for_route("", 200)
        host = f"main.{self.host}"
        load = Requests("load", lambda: (self.pair.get(host).status, None))
        self.addCleanup(load.stop)
        return load


class Server(ChaosCase):
    def test_restarts_of_the_api_server_fail_no_request_and_lose_no_change(self):
        load = self.begin()
        for number in range(RESTARTS):
            self.cluster.stop_apiserver(random.choice([signal.SIGKILL, signal.SIGTERM]))
            self.assertEqual(self.pair.get(f"main.{self.host}").status, 200)
            self.cluster.start_apiserver()
            self.cluster.apply(self.route(f"n{number}"))
            if number:
                self.cluster.delete(self.route(f"n{number - 1}"))
            self.wait_for_route(f"n{number}", 200, streak=2)
            if number:
                self.wait_for_route(f"n{number - 1}", 404, streak=2)
        load.stop()
        self.assertEqual(load.failures(), [])

    def test_controller_that_starts_while_the_api_server_is_away_serves_what_was_there(self):
        load = self.begin()
        self.cluster.stop_apiserver()
        self.pair.kill_controller()
        self.pair.start_controller()
        eventually(lambda: [line for line in self.pair.findings(reason="io")
                            if "can't be reached" in str(line)], "a finding of the server")
        self.assertEqual(self.pair.get(f"main.{self.host}").status, 200)

        self.cluster.start_apiserver()
        self.cluster.apply(self.route("late"))

        self.wait_for_route("late", 200)
        load.stop()
        self.assertEqual(load.failures(), [])

    def test_compaction_under_a_stopped_watch_loses_nothing(self):
        load = self.begin()
        self.cluster.apply(self.route("gone"), self.route("changed"))
        self.wait_for_route("gone", 200)
        self.pair.controller.signal(signal.SIGSTOP)
        try:
            self.cluster.delete(self.route("gone"))
            self.cluster.apply(self.route("changed", path="/only-here"), self.route("new"))
            for number in range(50):
                self.cluster.apply(manifests.config_map(f"{self.name}-noise", v=str(number)))
            self.cluster.compact()
            # Else the server remembers by itself what etcd has forgotten.
            self.cluster.restart_apiserver()
        finally:
            self.pair.controller.signal(signal.SIGCONT)

        self.wait_for_route("new", 200)
        self.wait_for_route("gone", 404)
        self.wait_for_route("changed", 404)
        self.assertEqual(self.pair.get(f"changed.{self.host}", "/only-here").status, 200)
        load.stop()
        self.assertEqual(load.failures(), [])

    def test_revocation_arrives_though_the_api_server_restarts_around_it(self):
        leaf, client = self.server(), self.ca.client()
        backend = self.use(Backend(leaf, client_ca=self.ca.cert_pem, address="0.0.0.0"))
        secret = self.secret(client, ca=self.ca, crl=self.ca.crl())
        self.cluster.apply(secret, self.tls_ingress(), manifests.service(self.name, backend.port))
        self.wait_for(200)

        self.cluster.apply(self.secret(client, ca=self.ca, crl=self.ca.crl([leaf])))
        self.cluster.restart_apiserver()

        self.wait_for(502)

    def test_certificate_of_another_authority_is_refused_and_the_new_ca_file_is_read(self):
        load = self.begin()
        other = Authority("another kubernetes")
        ca_file = self.cluster.folder / "ca.crt"
        kubeconfig = self.cluster.folder / f"{self.name}.ca.crt"
        self.cluster.renew_certificate(other)
        old = ca_file.read_text()
        self.cluster.stop_apiserver()
        # For its clients only: the tests' own connection and the controller's are told apart below.
        self.cluster.start_apiserver(wait=False)
        eventually(lambda: [line for line in self.pair.controller.logged(
            message="the TLS connection to the API server failed")], "a refusal", patience=60)

        kubeconfig.write_text(old + other.cert_pem)
        kubeconfig.rename(ca_file)
        self.cluster.wait_ready()
        self.cluster.apply(self.route("after"))
        self.wait_for_route("after", 200)

        self.cluster.renew_certificate()
        self.cluster.restart_apiserver()
        load.stop()
        self.assertEqual(load.failures(), [])


class BadNetwork(ChaosCase):
    """A relay stands between the controller and the API server."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.pair.close()
        cls.relay = Relay(cls.cluster.port)
        kubeconfig = cls.cluster.account_kubeconfig(
            "relay.kubeconfig", server=f"https://127.0.0.1:{cls.relay.port}")
        cls.pair = ClusterPair(kubeconfig).start()

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        cls.relay.close()

    def test_connections_that_are_cut_again_and_again_lose_no_change(self):
        load = self.begin()
        live = {}
        end = time.monotonic() + 8
        number = 0
        while time.monotonic() < end:
            name = f"x{number % 7}"
            if name in live and random.random() < 0.5:
                self.cluster.delete(self.route(name))
                del live[name]
            else:
                self.cluster.apply(self.route(name, path=f"/{number}"))
                live[name] = f"/{number}"
            self.relay.cut(random.choice([0.1, 0.5, 1.0]))
            number += 1

        for name in (f"x{n}" for n in range(7)):
            if name in live:
                self.pair.wait_for(f"{name}.{self.host}", 200, live[name])
            else:
                self.wait_for_route(name, 404)
        load.stop()
        self.assertEqual(load.failures(), [])


    def test_connections_that_bring_nothing_and_never_end_are_given_up(self):
        self.begin()
        self.relay.stall()
        self.cluster.apply(self.route("while"))

        self.wait_for_route("while", 200, patience=150)


class CutCable(ChaosCase):
    """The controller is in a network namespace of its own, behind a cable."""

    FLAGS = ("--publish-status-address", "203.0.113.7", "--election-ttl", "4s")
    # Of one connection for each kind that is watched, of those tried while nothing arrived, and of
    # the writer's: as many again would be a storm.
    MOST_CONNECTIONS = 40

    @classmethod
    def setUpClass(cls):
        try:
            cls.cable = Cable()
        except NoNamespaces as error:
            raise unittest.SkipTest(f"no network namespace: {error}")
        try:
            super().setUpClass()
            cls.pair.close()
            cls.relay = Relay(cls.cluster.port, cls.cable.near)
            cls.pair = ClusterPair(cls.cluster.account_kubeconfig(
                "cable.kubeconfig", server=f"https://{cls.cable.near}:{cls.relay.port}",
                server_name="localhost"), *cls.FLAGS, prefix=cls.cable.prefix)
            cls.pair.start()
        except BaseException:
            cls.cable.close()
            raise

    @classmethod
    def tearDownClass(cls):
        try:
            cls.cable.mend()  # who leads gives its Lease up
            super().tearDownClass()
        finally:
            cls.relay.close()
            cls.cable.close()

    def address(self, suffix):
        ingress = self.cluster.request("GET", self.cluster.path_of(self.route(suffix)))
        return [one["ip"] for one in ingress["status"]["loadBalancer"].get("ingress", [])]

    def test_network_that_is_silent_for_a_while_fails_no_request_and_loses_no_change(self):
        load = self.begin()
        self.cluster.apply(self.route("gone"), self.route("changed"))
        self.wait_for_route("gone", 200)
        eventually(lambda: self.address("gone") == ["203.0.113.7"], "an address")
        self.cable.cut()
        self.cluster.delete(self.route("gone"))
        self.cluster.apply(self.route("changed", path="/only-here"), self.route("new"))
        # Nobody said that the connections are dead.
        eventually(lambda: [line for line in self.pair.findings(reason="io")
                            if "can't be reached" in str(line)], "the silence to be noticed",
                   patience=120)
        self.assertEqual(self.pair.get(f"gone.{self.host}").status, 200)
        before = self.relay.accepted
        self.cable.mend()

        self.wait_for_route("new", 200, patience=90)
        self.wait_for_route("gone", 404)
        self.wait_for_route("changed", 404)
        self.assertEqual(self.pair.get(f"changed.{self.host}", "/only-here").status, 200)
        eventually(lambda: self.address("new") == ["203.0.113.7"], "the new one's address",
                   patience=60)
        self.assertLess(self.relay.accepted - before, self.MOST_CONNECTIONS)
        load.stop()
        self.assertEqual(load.failures(), [])


if __name__ == "__main__":
    cluster.skip_without_programs()
    unittest.main()
