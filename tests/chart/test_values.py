"""values.yaml, its schema, and the values of ingress-nginx."""

import json
import unittest

import chart
from chart import Objects, flags
from ingress_nginx import INGRESS_NGINX

chart.skip_without("helm")

SCHEMA = json.loads((chart.CHART / "values.schema.json").read_text())

IGNORED = ["controller.addHeaders", "controller.allowSnippetAnnotations",
           "controller.admissionWebhooks.patch", "controller.image", "controller.lifecycle",
           "controller.livenessProbe.httpGet", "controller.metrics.port", "defaultBackend",
           "dhParam", "udp", "controller.extraArgs.v"]


def properties(schema, path=()):
    """Every path of the schema, and its own schema."""
    for name, inner in schema.get("properties", {}).items():
        yield ".".join((*path, name)), inner
        yield from properties(inner, (*path, name))


def paths(values, path=()):
    for name, value in values.items():
        yield ".".join((*path, name))
        if isinstance(value, dict):
            yield from paths(value, (*path, name))


class IngressNginx(unittest.TestCase):
    def test_its_values_install_and_mean_the_same(self):
        objects = Objects.of(INGRESS_NGINX)

        controller, proxy = dict(flags(objects.controller)), dict(flags(objects.proxy))
        self.assertEqual(controller["controller-class"], "k8s.io/internal-ingress-nginx")
        self.assertEqual(controller["ingress-class"], "nginx-internal")
        self.assertEqual(controller["default-ssl-certificate"], "ingress/wildcard")
        self.assertEqual(controller["enable-ssl-passthrough"], "true")
        self.assertEqual(controller["configmap"], "handfast/handfast")
        self.assertNotIn("v", controller)
        self.assertEqual(proxy["proxy-real-ip-cidr"], "10.0.0.0/8")
        self.assertEqual(proxy["keep-alive"], "75")
        self.assertEqual(proxy["drain-timeout"], "100s")
        self.assertEqual(objects.get("IngressClass", "nginx-internal")["spec"]["controller"],
                         "k8s.io/internal-ingress-nginx")
        service = objects.get("Service")["spec"]
        self.assertEqual((service["type"], service["externalTrafficPolicy"]),
                         ("LoadBalancer", "Local"))
        self.assertIn(30443, [port.get("nodePort") for port in service["ports"]])
        self.assertEqual(objects.get("HorizontalPodAutoscaler")["spec"]["maxReplicas"], 9)
        self.assertEqual(objects.get("PodDisruptionBudget")["spec"]["minAvailable"], 2)
        self.assertEqual(objects.pod["topologySpreadConstraints"][0]["labelSelector"]
                         ["matchLabels"]["app.kubernetes.io/instance"], "handfast")
        self.assertEqual(objects.proxy["resources"]["requests"]["cpu"], "500m")
        self.assertEqual(objects.proxy["image"].partition(":")[0], "handfast")

    def test_keys_that_are_flags_of_the_proxy_leave_the_config_map(self):
        data = Objects.of(INGRESS_NGINX).get("ConfigMap")["data"]

        self.assertEqual(sorted(data), ["proxy-body-size", "ssl-protocols"])

    def test_nobody_is_believed_without_networks_and_that_is_said(self):
        values = {"controller": {"config": {"use-proxy-protocol": "true"}}}
        text = chart.template(values)

        self.assertNotIn("--proxy-protocol-from", text)
        self.assertIn('use-proxy-protocol: "true"', text)
        self.assertIn("nobody is believed without proxy-real-ip-cidr", text)

    def test_template_and_notes_name_what_is_ignored(self):
        text, notes = chart.template(INGRESS_NGINX), chart.notes(INGRESS_NGINX)

        named = [line[4:].partition(":")[0] for line in text.splitlines()
                 if line.startswith("#   ")]
        self.assertEqual(sorted(named), sorted(IGNORED))
        for path in IGNORED:
            self.assertIn(f"  {path}: ", notes)

    def test_nothing_is_said_where_nothing_is_ignored(self):
        self.assertNotIn("no effect here", chart.template() + chart.notes())

    def test_flag_that_restricts_renders_nothing(self):
        for flag in chart.ignored()["restricting_flags"]:
            with self.assertRaisesRegex(RuntimeError, f"{flag} restricts"):
                chart.template({"controller": {"extraArgs": {flag: ""}}})


class Schema(unittest.TestCase):
    def test_typing_mistakes_are_told(self):
        for values, word in (
                ({"replicaCount": 2}, "replicaCount"),
                ({"controller": {"replicaCout": 2}}, "replicaCout"),
                ({"controller": {"replicaCount": "two"}}, "replicaCount"),
                ({"controller": {"kind": "StatefulSet"}}, "kind"),
                ({"controller": {"service": {"typ": "NodePort"}}}, "typ"),
                ({"controller": {"service": {"annotations": {"a": True}}}}, "annotations"),
                ({"controller": {"metrics": {"compatibility": "nginx"}}}, "compatibility"),
                ({"controller": {"autoscaling": {"enabled": "yes"}}}, "enabled"),
                ({"proxy": {"shutdownDelay": "soon"}}, "shutdownDelay"),
                ({"proxy": {"logLevel": "trace"}}, "logLevel"),
                ({"upstreamTLS": {"minimum": "mutual"}}, "minimum"),
                ({"tcp": {"redis": "shop/redis:6379"}}, "redis")):
            with self.subTest(values):
                with self.assertRaisesRegex(RuntimeError, word):
                    chart.template(values)

    def test_schema_knows_each_value_and_no_other(self):
        known = {path: inner for path, inner in properties(SCHEMA)}
        ours = set(paths(chart.values_file()))
        ignored = set(chart.ignored()["values"])

        self.assertEqual({path for path, inner in known.items()
                          if inner.get("$comment") == "ignored"}, ignored)
        closed = {path for path, inner in known.items() if "properties" in inner}
        # What lies below an open map is the user's: labels, resources, a node selector.
        expected = {path for path in ours
                    if not any(path.startswith(f"{top}.") and top not in closed
                               for top in ours if path != top)}
        internal = {f"controller.service.internal.{map_}.{scheme}"
                    for map_ in ("ports", "targetPorts") for scheme in ("http", "https")}
        self.assertEqual(set(known) - ignored - internal, expected)

    def test_every_object_of_the_schema_is_closed(self):
        for path, inner in properties(SCHEMA):
            if "properties" in inner:
                self.assertIs(inner.get("additionalProperties"), False, path)


if __name__ == "__main__":
    unittest.main()
