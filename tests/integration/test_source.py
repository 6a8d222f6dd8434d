"""The directory of manifests as people and kubelet change it, what lies in it that can't be read,
and what `handfast lint` says to each."""

import base64
import json
import os
import pathlib
import shutil
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from harness import manifests  # noqa: E402
from harness.backends import Backend  # noqa: E402
from harness.case import HandfastCase  # noqa: E402
from harness.handfast import Handfast, Pair, free_port, run_lint  # noqa: E402
from harness.pki import Authority, from_now  # noqa: E402
from harness.volume import Volume  # noqa: E402
from harness.waiting import eventually  # noqa: E402


class SourceCase(HandfastCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.backend = Backend()

    @classmethod
    def tearDownClass(cls):
        cls.backend.close()
        super().tearDownClass()

    def setUp(self):
        super().setUp()
        self.folder = self.handfast.manifests.folder

    def route(self, name=None, host=None, **options):
        """The text of an Ingress with its Service."""
        name = name or self.name
        return manifests.dump(manifests.ingress(name, host or self.host, **options),
                              *manifests.service(name, self.backend.port))

    def write(self, path, text):
        """In place: truncated and written, as a shell does."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())

    def assert_finding(self, reason, file, **more):
        def check():
            return [line for line in self.handfast.proxy.logged(message="finding", reason=reason)
                    if file in line["file"] and
                    all(value in line[key] for key, value in more.items())]

        return eventually(check, f"a finding {reason} of {file}")[-1]

    def assert_others_work(self):
        """A route that is made now works: nothing blocks anybody."""
        host = f"other.{self.host}"
        self.write(self.folder / f"{self.name}-other.yaml",
                   self.route(f"{self.name}-other", host))
        self.handfast.wait_for(host, 200)


class Watching(SourceCase):
    def test_file_that_appears_changes_and_goes(self):
        place = self.folder / f"{self.name}.yaml"
        self.write(place, self.route())
        self.wait_for(200)

        self.write(place, self.route(host=f"new.{self.host}"))
        self.handfast.wait_for(f"new.{self.host}", 200)
        self.wait_for(404)

        place.unlink()
        self.handfast.wait_for(f"new.{self.host}", 404)

    def test_rename_over_as_editors_do(self):
        place = self.folder / f"{self.name}.yaml"
        self.write(place, self.route())
        self.wait_for(200)

        for number in range(5):
            backup, new = pathlib.Path(f"{place}~"), self.folder / f".{self.name}.yaml.swp"
            self.write(new, self.route(host=f"{number}.{self.host}"))
            backup.unlink(missing_ok=True)
            os.link(place, backup)
            new.rename(place)
            self.handfast.wait_for(f"{number}.{self.host}", 200)

        self.wait_for(404)  # nor does the backup count

    def test_rename_out_and_in(self):
        place, outside = self.folder / f"{self.name}.yaml", self.folder.parent / self.name
        self.write(place, self.route())
        self.wait_for(200)

        place.rename(outside)
        self.wait_for(404)
        outside.rename(place)
        self.wait_for(200)

    def test_kubelets_symlink_swap(self):
        volume = Volume(self.folder / self.name)
        volume.swap({"route.yaml": self.route()})
        self.wait_for(200)

        for number in range(5):
            volume.swap({"route.yaml": self.route(host=f"{number}.{self.host}")})
            self.handfast.wait_for(f"{number}.{self.host}", 200)
        self.wait_for(404)

    def test_new_subfolders_are_watched_at_once(self):
        deep = self.folder / self.name / "a" / "b"
        deep.mkdir(parents=True)
        self.write(deep / "route.yaml", self.route())
        self.wait_for(200)

        self.write(deep / "route.yaml", self.route(host=f"x.{self.host}"))
        self.handfast.wait_for(f"x.{self.host}", 200)

        shutil.rmtree(self.folder / self.name)
        self.handfast.wait_for(f"x.{self.host}", 404)

    def test_folder_moved_in_whole(self):
        outside = self.folder.parent / f"{self.name}-outside"
        self.write(outside / "sub" / "route.yaml", self.route())

        outside.rename(self.folder / self.name)
        self.wait_for(200)

        self.write(self.folder / self.name / "sub" / "route.yaml",
                   self.route(host=f"x.{self.host}"))
        self.handfast.wait_for(f"x.{self.host}", 200)

        (self.folder / self.name).rename(outside)
        self.handfast.wait_for(f"x.{self.host}", 404)

    def test_symlinked_file_and_folder_outside(self):
        outside = self.folder.parent / f"{self.name}-target"
        self.write(outside / "route.yaml", self.route())
        os.symlink(outside, self.folder / self.name)
        self.wait_for(200)

        os.unlink(self.folder / self.name)
        self.wait_for(404)

    def test_symlink_loops_hurt_nobody(self):
        os.symlink(self.folder, self.folder / f"{self.name}-up")
        os.symlink(f"{self.name}-self.yaml", self.folder / f"{self.name}-self.yaml")
        os.symlink(f"{self.name}-b.yaml", self.folder / f"{self.name}-a.yaml")
        os.symlink(f"{self.name}-a.yaml", self.folder / f"{self.name}-b.yaml")
        os.symlink("nowhere", self.folder / f"{self.name}-gone.yaml")
        self.addCleanup(lambda: [os.unlink(path) for path in
                                 self.folder.glob(f"{self.name}-*") if path.is_symlink()])

        self.assert_others_work()
        self.assert_finding("io", f"{self.name}-self.yaml")

    def test_what_is_no_file_does_not_block(self):
        os.mkfifo(self.folder / f"{self.name}-fifo.yaml")
        (self.folder / f"{self.name}-folder.yaml").mkdir()
        self.write(self.folder / f"{self.name}-folder.yaml" / "route.yaml", self.route())

        self.assert_others_work()
        self.wait_for(200)

    @unittest.skipIf(os.geteuid() == 0, "root reads every file")
    def test_unreadable_file_is_told_and_hurts_nobody(self):
        place = self.folder / f"{self.name}.yaml"
        self.write(place, self.route())
        self.wait_for(200)

        place.chmod(0)
        self.addCleanup(place.chmod, 0o600)
        self.assert_finding("io", place.name)
        self.assert_others_work()
        self.assertEqual(self.get().status, 200)  # bad, not gone

    def test_storm_of_changes_does_not_starve_one(self):
        stop = threading.Event()

        def storm():
            number = 0
            while not stop.is_set():
                number += 1
                self.write(self.folder / f"{self.name}-storm.yaml",
                           self.route(f"{self.name}-storm", f"storm-{number}.{self.host}"))
                time.sleep(0.01)

        thread = threading.Thread(target=storm)
        thread.start()
        try:
            started = time.monotonic()
            self.handfast.apply(self.name, manifests.ingress(self.name, self.host),
                                manifests.service(self.name, self.backend.port))
            self.wait_for(200, streak=1)
            self.assertLess(time.monotonic() - started, 5)
        finally:
            stop.set()
            thread.join()

    def test_many_files_at_once(self):
        for number in range(300):
            self.write(self.folder / self.name / f"{number}.yaml",
                       self.route(f"{self.name}-{number}", f"{number}.{self.host}"))
        for number in (0, 150, 299):
            self.handfast.wait_for(f"{number}.{self.host}", 200)

        shutil.rmtree(self.folder / self.name)
        for number in (0, 150, 299):
            self.handfast.wait_for(f"{number}.{self.host}", 404)


class Reading(SourceCase):
    def test_yaml_as_people_write_it(self):
        self.write(self.folder / f"{self.name}.yml", f"""
# A comment.
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: {self.name}
  namespace: shop
  annotations: &a {{nginx.ingress.kubernetes.io/ssl-redirect: "false"}}
  labels:
    multi: |
      line
spec:
  ingressClassName: handfast
  rules:
  - host: "{self.host}"
    http:
      paths:
      - pathType: Prefix
        path: /
        backend: {{service: {{name: {self.name}, port: {{number: 443}}}}}}
...
---
---
""" + manifests.dump(*manifests.service(self.name, self.backend.port)))

        self.wait_for(200)

    def test_lists_and_json(self):
        objects = [manifests.ingress(self.name, self.host),
                   *manifests.service(self.name, self.backend.port)]
        self.write(self.folder / f"{self.name}.yaml",
                   json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
        self.wait_for(200)

    def test_emptied_file_is_taken_for_one_that_is_being_written(self):
        place = self.folder / f"{self.name}.yaml"
        self.write(place, self.route())
        self.wait_for(200)

        self.write(place, "")
        self.handfast.barrier()
        self.assert_finding("bad_yaml", place.name)
        self.assertEqual(self.get().status, 200)

        self.write(place, "# nothing any more\n")
        self.wait_for(404)

    def test_string_data_wins_over_data(self):
        leaf, wrong = self.ca.server(f"{self.name}.shop.svc"), self.ca.client()
        backend = self.use(Backend(leaf, client_ca=self.ca.cert_pem))
        client = self.ca.client("string-data")
        secret = manifests.secret(f"{self.name}-tls", tls_crt=wrong.cert_pem,
                                  tls_key=wrong.key_pem)
        secret["stringData"] = {"tls.crt": client.cert_pem, "tls.key": client.key_pem,
                                "ca.crt": self.ca.cert_pem}
        self.apply("secret", secret)
        self.apply_ingress(backend.port)

        self.wait_for(200, text="CN=string-data")

    def test_base64_with_line_breaks(self):
        leaf = self.ca.server(f"{self.name}.shop.svc")
        backend = self.use(Backend(leaf))
        text = base64.encodebytes(self.ca.cert_pem.encode()).decode()
        self.write(self.folder / f"{self.name}-secret.yaml",
                   f"apiVersion: v1\nkind: Secret\nmetadata: {{name: {self.name}-tls, "
                   f"namespace: shop}}\ndata:\n  ca.crt: |\n" +
                   "".join(f"    {line}\n" for line in text.splitlines()))
        self.apply_ingress(backend.port)

        self.wait_for(200)

    def test_unknown_kinds_are_skipped_and_counted(self):
        pair = Pair()
        self.addCleanup(pair.close)
        port = free_port()
        pair.controller_flags = ["--metrics", f"127.0.0.1:{port}"]
        pair.controller_address = ("127.0.0.1", port)
        pair.manifests.write("all", manifests.dump(
            {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x"}},
            {"apiVersion": "example.com/v1", "kind": "Ingress", "metadata": {"name": "x"}},
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}) +
            "---\n" + self.route() + "---\n" + manifests.dump(manifests.ingress_class()))
        pair.start()

        pair.wait_for(self.host, 200)
        eventually(lambda: pair.controller_metrics().value(
            "handfast_controller_skipped_documents") == 3, "three skipped documents")

    def test_broken_yaml_keeps_what_its_file_held(self):
        place = self.folder / f"{self.name}.yaml"
        self.write(place, self.route())
        self.wait_for(200)

        for text in ("a: [b\n", self.route()[:-30], "\0\0\0", "a: b: c\n", "\t- x\n"):
            with self.subTest(text[:20]):
                self.write(place, text)
                self.handfast.barrier()
                self.assert_finding("bad_yaml", place.name)
                self.assertEqual(self.get().status, 200)

        self.write(place, self.route(host=f"new.{self.host}"))
        self.handfast.wait_for(f"new.{self.host}", 200)
        self.wait_for(404)

    def test_broken_yaml_of_a_new_file_is_told_and_hurts_nobody(self):
        self.write(self.folder / f"{self.name}-broken.yaml", "kind: [Ingress\n")

        self.assert_others_work()
        self.assert_finding("bad_yaml", f"{self.name}-broken.yaml")

    def test_documents_that_are_no_objects_are_told_and_the_others_serve(self):
        self.write(self.folder / f"{self.name}.yaml",
                   "just text\n---\n- a\n- list\n---\n42\n---\n{}\n---\n"
                   "kind: Ingress\n---\napiVersion: v1\nkind: Secret\nmetadata: {}\n---\n" +
                   self.route())

        self.wait_for(200)
        self.assert_finding("bad_object", f"{self.name}.yaml")

    def test_objects_with_fields_of_the_wrong_kind_are_told(self):
        for number, (kind, change) in enumerate((
                ("rules", lambda one: one["spec"].update(rules="x")),
                ("host", lambda one: one["spec"]["rules"][0].update(host=["a"])),
                ("paths", lambda one: one["spec"]["rules"][0]["http"].update(paths={})),
                ("path", lambda one: one["spec"]["rules"][0]["http"]["paths"][0].update(
                    path="no-slash")),
                ("pathType", lambda one: one["spec"]["rules"][0]["http"]["paths"][0].update(
                    pathType="Regex")),
                ("annotations", lambda one: one["metadata"].update(annotations=["a"])),
                ("name", lambda one: one["metadata"].update(name="Not_A_Name/..")))):
            with self.subTest(kind):
                one = manifests.ingress(f"{self.name}-{number}", f"{number}.{self.host}")
                change(one)
                file = f"{self.name}-{number}.yaml"
                self.write(self.folder / file, manifests.dump(one))
                eventually(lambda: [line for line in
                                    self.handfast.proxy.logged(message="finding")
                                    if file in line["file"]], f"a finding about {kind}")
        self.assert_others_work()

    def test_secret_with_broken_base64_is_told_and_keeps_its_last_good(self):
        leaf = self.ca.server(f"{self.name}.shop.svc")
        backend = self.use(Backend(leaf))
        self.apply_secret(None, self.ca)
        self.apply_ingress(backend.port)
        self.wait_for(200)

        secret = manifests.secret(f"{self.name}-tls")
        secret["data"] = {"ca.crt": "%%% not base64 %%%"}
        self.apply("secret", secret)
        self.handfast.barrier()

        found = eventually(lambda: [
            line for line in self.handfast.proxy.logged(message="finding")
            if f"{self.name}-secret" in line["file"] and "ca.crt" in line["field"]], "a finding")
        self.assertIn(f"{self.name}-tls", found[-1]["object"])
        self.wait_for(200)
        self.assert_others_work()

    def test_object_with_an_annotation_of_1_mib_is_told_and_keeps_its_last_good(self):
        # Kubernetes itself takes no more than 256 KiB of annotations: such an object is none.
        place = self.folder / f"{self.name}.yaml"
        for name in ("nginx.ingress.kubernetes.io/proxy-ssl-name",
                     "kubectl.kubernetes.io/last-applied-configuration"):
            with self.subTest(name):
                self.write(place, self.route())
                self.wait_for(200)

                self.write(place, self.route(annotations={name: "x" * 2**20},
                                             host=f"new.{self.host}"))
                self.assert_others_work()
                line = self.assert_finding("bad_object", place.name, field="annotations",
                                           object=f"shop/{self.name}")
                self.assertLess(len(json.dumps(line)), 4096)
                self.assertEqual(self.get().status, 200)
                self.assertEqual(self.handfast.get(f"new.{self.host}").status, 404)

    def test_secret_values_of_1_mib_and_10000_keys(self):
        self.apply("secret", manifests.secret(
            f"{self.name}-tls", ca_crt="x" * 2**20,
            data={f"key-{number}": "v" for number in range(10_000)}))
        backend = self.use(Backend(self.ca.server(f"{self.name}.shop.svc")))
        self.apply_ingress(backend.port)
        self.handfast.barrier()

        self.assert_refused(503, "bad_ca")
        self.assert_others_work()


class Conflicts(SourceCase):
    def two(self, first, second, **more):
        """Two Ingresses with the same host and path, to backends of their own."""
        self.left, self.right = self.use(Backend()), self.use(Backend())
        self.apply("all", manifests.ingress(first[0], self.host, service=f"{self.name}-l",
                                            **first[1]),
                   manifests.ingress(second[0], self.host, service=f"{self.name}-r", **second[1]),
                   manifests.service(f"{self.name}-l", self.left.port, namespace=first[1].get(
                       "namespace", "shop")),
                   manifests.service(f"{self.name}-r", self.right.port, namespace=second[1].get(
                       "namespace", "shop")))
        self.wait_for(200)
        self.handfast.barrier()
        self.left.seen.clear()
        self.right.seen.clear()
        for _ in range(10):
            self.assertEqual(self.get().status, 200)

    def test_oldest_ingress_has_the_path_and_the_other_is_told(self):
        self.two((f"{self.name}-z", {"creationTimestamp": "2024-01-01T00:00:00Z"}),
                 (f"{self.name}-a", {"creationTimestamp": "2023-01-01T00:00:00Z"}))

        self.assertEqual((len(self.left.seen), len(self.right.seen)), (0, 10))
        found = self.assert_finding("conflict", f"{self.name}-all")
        self.assertIn(f"{self.name}-z", found["object"])

    def test_same_age_is_decided_by_name_descending(self):
        same = {"creationTimestamp": "2024-01-01T00:00:00Z"}
        self.two((f"{self.name}-a", same), (f"{self.name}-z", same))

        self.assertEqual((len(self.left.seen), len(self.right.seen)), (0, 10))
        self.assert_finding("conflict", f"{self.name}-all", object=f"{self.name}-a")

    def test_namespaces_are_part_of_that_name(self):
        same = {"creationTimestamp": "2024-01-01T00:00:00Z"}
        self.two((f"{self.name}", {**same, "namespace": "aa"}),
                 (f"{self.name}", {**same, "namespace": "zz"}))

        self.assertEqual((len(self.left.seen), len(self.right.seen)), (0, 10))

    def test_other_paths_of_the_loser_are_served(self):
        other = self.use(Backend())
        self.apply("more", manifests.ingress(
            f"{self.name}-b", self.host, creationTimestamp="2024-05-05T00:00:00Z",
            paths=[("/", "Prefix", f"{self.name}-m", 443),
                   ("/more", "Prefix", f"{self.name}-m", 443)]),
            manifests.service(f"{self.name}-m", other.port))
        self.wait_for(200, target="/more")
        self.two((f"{self.name}-c", {"creationTimestamp": "2023-01-01T00:00:00Z"}),
                 (f"{self.name}-d", {"creationTimestamp": "2023-02-01T00:00:00Z"}))
        other.seen.clear()

        self.assertEqual(self.get("/more").status, 200)
        self.assertEqual([one.target for one in other.seen], ["/more"])

    def test_same_object_in_two_files_is_told_and_one_of_them_serves(self):
        text = self.route()
        self.write(self.folder / f"{self.name}-1.yaml", text)
        self.wait_for(200)
        self.write(self.folder / f"{self.name}-2.yaml", text)
        self.handfast.barrier()
        eventually(lambda: [line for line in self.handfast.proxy.logged(message="finding")
                            if f"{self.name}-" in line["file"]], "a finding")
        self.wait_for(200)

        os.unlink(self.folder / f"{self.name}-1.yaml")
        self.handfast.barrier()
        self.wait_for(200)


class Beginnings(unittest.TestCase):
    def test_directory_that_comes_later_is_found(self):
        handfast = Handfast(start=False)
        self.addCleanup(handfast.close)
        handfast.manifests.folder.rmdir()
        handfast.start(wait_ready=False)
        backend = Backend()
        self.addCleanup(backend.close)
        eventually(lambda: handfast.proxy.logged(message="finding") or
                   handfast.proxy.logged(level="error") or
                   handfast.proxy.logged(level="warning"), "a word about the missing directory")
        self.assertFalse(handfast.is_ready())

        handfast.manifests.folder.mkdir()
        handfast.apply("all", manifests.ingress_class(), manifests.ingress("a", "a.test"),
                       manifests.service("a", backend.port))

        eventually(handfast.is_ready, "readiness")
        handfast.wait_for("a.test", 200)

    def test_directory_that_disappears_is_told_and_found_again(self):
        handfast = Handfast()
        self.addCleanup(handfast.close)
        backend = Backend()
        self.addCleanup(backend.close)
        handfast.apply("all", manifests.ingress_class(), manifests.ingress("a", "a.test"),
                       manifests.service("a", backend.port))
        handfast.wait_for("a.test", 200)
        folder = handfast.manifests.folder
        away = folder.with_name("away")

        folder.rename(away)
        eventually(lambda: handfast.proxy.logged(message="finding", reason="io"), "a finding")

        away.rename(folder)
        handfast.apply("b", manifests.ingress("b", "b.test", service="a"))
        handfast.wait_for("b.test", 200)
        handfast.wait_for("a.test", 200)

    def test_empty_directory_is_ready_and_answers_404(self):
        handfast = Handfast()
        self.addCleanup(handfast.close)

        self.assertEqual(handfast.get("a.test").status, 404)


class Lint(unittest.TestCase):
    """Each line of bad input: exit code, file, object, field."""

    @classmethod
    def setUpClass(cls):
        cls.ca = Authority("backends")

    def setUp(self):
        temporary = tempfile.TemporaryDirectory(prefix="handfast-it-")
        self.addCleanup(temporary.cleanup)
        self.folder = pathlib.Path(temporary.name)

    def write(self, text, name="case.yaml"):
        (self.folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())

    def lint(self, *paths, flags=()):
        return run_lint(*(paths or [self.folder]), flags=flags)

    def good(self, **keys):
        client = self.ca.client()
        keys = {"tls_crt": client.cert_pem, "tls_key": client.key_pem, "ca_crt": self.ca.cert_pem,
                "ca_crl": self.ca.crl(), **keys}
        return [manifests.ingress_class(),
                manifests.ingress("orders", "orders.test", annotations={
                    "backend-protocol": "HTTPS", "proxy-ssl-secret": "shop/orders-tls"}),
                *manifests.service("orders", 8443), manifests.secret("orders-tls", **keys)]

    def assert_found(self, *words, code=1):
        found, text = self.lint()
        self.assertEqual(found, code, text)
        self.assertIn("case.yaml", text)
        for word in words:
            self.assertIn(word, text)
        return text

    def test_clean_manifests_exit_0(self):
        self.write(manifests.dump(*self.good()))

        self.assertEqual(self.lint()[0], 0, self.lint()[1])
        self.assertEqual(self.lint(self.folder / "case.yaml")[0], 0)

    def test_path_that_is_not_there_exits_2(self):
        code, text = self.lint(self.folder / "nothing.yaml")
        self.assertEqual(code, 2)
        self.assertIn("nothing.yaml", text)
        self.assertEqual(run_lint()[0], 2)
        self.assertEqual(run_lint(self.folder, flags=["--no-such-flag"])[0], 2)

    def test_yaml_that_does_not_parse(self):
        self.write("kind: [Ingress\n")
        code, text = self.lint()
        self.assertIn(code, (1, 2))
        self.assertRegex(text, r"case\.yaml:\d+: error: .* \(bad_yaml\) -> \S")

    def test_document_that_is_no_object(self):
        self.write("- a\n- b\n---\n" + manifests.dump(*self.good()))

        self.assert_found()

    def test_broken_base64(self):
        objects = self.good()
        objects[-1]["data"]["ca.crt"] = "%%%"
        self.write(manifests.dump(*objects))

        self.assert_found("orders-tls", "ca.crt")

    def test_bad_material(self):
        cases = {
            "torn second block": ("ca.crt", {"ca_crt": self.ca.cert_pem +
                                             "-----BEGIN CERTIFICATE-----\nAAAA\n"}),
            "key of another": ("tls.key", {"tls_key": self.ca.client().key_pem}),
            "empty CA": ("ca.crt", {"ca_crt": ""}),
            "CRL in UTF-16": ("ca.crl", {"ca_crl": self.ca.crl().encode("utf-16")}),
            "CRL with a damaged line": ("ca.crl", {"ca_crl": self.ca.crl().replace(
                "-----BEGIN", "---BEGIN")}),
            "certificate for a CRL": ("ca.crl", {"ca_crl": self.ca.cert_pem}),
            "certificate that is none": ("tls.crt", {"tls_crt": "junk"}),
        }
        for name, (field, keys) in cases.items():
            with self.subTest(name):
                self.write(manifests.dump(*self.good(**keys)))
                self.assert_found("orders-tls", field)

    def test_crl_in_der_is_fine(self):
        self.write(manifests.dump(*self.good(ca_crl=self.ca.crl_der())))

        code, text = self.lint()
        self.assertEqual(code, 0, text)

    def test_expired_client_certificate(self):
        old = self.ca.client(not_before=from_now(days=-2), not_after=from_now(days=-1))
        self.write(manifests.dump(*self.good(tls_crt=old.cert_pem, tls_key=old.key_pem)))

        self.assert_found("orders-tls", "tls.crt", "expired")

    def test_client_certificate_that_is_for_servers_alone(self):
        ours = self.ca.server("proxy.shop.svc")
        self.write(manifests.dump(*self.good(tls_crt=ours.cert_pem, tls_key=ours.key_pem)))

        self.assert_found("orders-tls", "tls.crt", "warning", "wrong_purpose", "clientAuth")

    def test_pkcs12_that_no_annotation_has_a_passphrase_for(self):
        sealed = {"tls_crt": None, "tls_key": None, "data": {
            "tls.p12": self.ca.client().pkcs12("changeit")}}
        self.write(manifests.dump(*self.good(**sealed)))
        self.assert_found("shop/orders", "proxy-ssl-secret", "warning", "PKCS#12",
                          "no client certificate is presented", "privateKeyPassphraseRef")

        self.write(manifests.dump(*self.good(**sealed, ca_crt=None, ca_crl=None)))
        self.assert_found("shop/orders", "proxy-ssl-secret", "error", "PKCS#12", "passphrase")

    def test_groups_that_are_one_under_two_names(self):
        policy = manifests.upstream_tls_policy(
            "orders", "orders", ca=[manifests.material_ref("Secret", "orders-tls")],
            protocol={"groups": ["P-256", "X25519", "secp256r1"]})
        self.write(manifests.dump(*self.good(), policy))

        self.assert_found("shop/orders", "spec.protocol.groups", '"secp256r1" and "P-256"')

    def test_missing_secret_service_and_port(self):
        objects = self.good()
        self.write(manifests.dump(*objects[:-1]))
        self.assert_found("shop/orders", "proxy-ssl-secret", "orders-tls")

        self.write(manifests.dump(objects[0], objects[1], objects[-1]))
        self.assert_found("shop/orders", "backend.service")

        objects[1] = manifests.ingress("orders", "orders.test", port="nobodys", annotations={
            "backend-protocol": "HTTPS", "proxy-ssl-secret": "shop/orders-tls"})
        self.write(manifests.dump(*objects))
        self.assert_found("shop/orders", "nobodys")

    def test_two_ingresses_with_one_path(self):
        twin = manifests.ingress("twin", "orders.test", service="orders",
                                 creationTimestamp="2024-01-01T00:00:00Z")
        self.write(manifests.dump(*self.good(), twin))

        self.assert_found("paths[0]", "orders.test")

    def test_annotations(self):
        for annotations, field in (({"proxy-ssl-verify": "nope"}, "proxy-ssl-verify"),
                                   ({"proxy-ssl-verify": "off"}, "proxy-ssl-verify"),
                                   ({"limit-rps": "5"}, "limit-rps"),
                                   ({"whitelist-source-range": "1.2.3.4,"},
                                    "whitelist-source-range"),
                                   ({"proxy-ssl-nmae": "x"}, "proxy-ssl-name"),
                                   ({"proxy-buffer-size": "8k"}, "proxy-buffer-size"),
                                   ({"proxy-read-timeout": "5s"}, "proxy-read-timeout"),
                                   ({"proxy-body-size": "8mb"}, "proxy-body-size"),
                                   ({"load-balance": "ip_hash"}, "load-balance"),
                                   ({"proxy-ssl-name": "x" * 200_000}, "proxy-ssl-name"),
                                   ({"proxy-ssl-name": "x" * 2**20}, "metadata.annotations")):
            with self.subTest(field):
                objects = self.good()
                objects[1]["metadata"]["annotations"].update(
                    {manifests.NGINX + key: value for key, value in annotations.items()})
                self.write(manifests.dump(*objects))
                text = self.assert_found("shop/orders", field)
                self.assertLess(len(text), 8000)

    def test_flags_of_the_controller_count(self):
        objects = self.good()
        objects[1]["metadata"]["annotations"][manifests.NGINX + "proxy-ssl-verify"] = "off"
        self.write(manifests.dump(*objects))
        refused = self.lint()[1]
        allowed = self.lint(flags=["--allow-insecure-upstream", "shop/*"])[1]

        self.assertIn("not_permitted", refused)
        self.assertNotIn("not_permitted", allowed)

    def test_symlink_loop(self):
        self.write(manifests.dump(*self.good()))
        os.symlink(self.folder, self.folder / "loop")
        os.symlink("self.yaml", self.folder / "self.yaml")

        code, text = self.lint()

        self.assertIn(code, (1, 2))
        self.assertIn("self.yaml", text)

    def test_a_secret_is_never_printed(self):
        client = self.ca.client()
        self.write(manifests.dump(*self.good(
            tls_crt="junk", tls_key=client.key_pem.replace("-----END", "----END"))))

        _, text = self.lint()

        for line in client.key_pem.splitlines()[1:-1]:
            self.assertNotIn(line, text)


if __name__ == "__main__":
    unittest.main()
