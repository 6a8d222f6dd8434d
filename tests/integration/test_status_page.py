"""The status page: what the admin address answers, to whom, and what a real browser makes of it."""

import base64
import html.parser
import json
import os
import pathlib
import signal
import socket
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from harness import browser, clients, manifests  # noqa: E402
from harness.backends import Backend  # noqa: E402
from harness.handfast import Handfast  # noqa: E402
from harness.pki import Authority, from_now  # noqa: E402
from harness.processes import wait_for_line  # noqa: E402
from harness.waiting import eventually  # noqa: E402

MARKUP = "<img src=x onerror=alert(1)>"
POD = "handfast-7c9d8b6f5-x2lvn"


class StatusCase(unittest.TestCase):
    """One program with an app for each thing that can be wrong, and many that are well."""

    plain_apps = 0
    refused_value = MARKUP

    @classmethod
    def setUpClass(cls):
        cls.ca, cls.other = Authority("backends"), Authority("others")
        previous = os.environ.get("POD_NAME")
        os.environ["POD_NAME"] = POD
        cls.handfast = Handfast("--admin", "127.0.0.1:0", "--allow-insecure-upstream",
                                "shop/returns")
        os.environ.pop("POD_NAME")
        if previous is not None:
            os.environ["POD_NAME"] = previous
        cls.addClassCleanup(cls.handfast.close)
        line = wait_for_line(cls.handfast.proxy, "the admin address", message="listening",
                             listener="admin")
        host, _, port = line["address"].rpartition(":")
        cls.admin = (host, int(port))
        cls.url = f"http://{host}:{port}/"
        cls.handfast.apply("class", manifests.ingress_class())
        cls.make_apps()

    @classmethod
    def make_apps(cls):
        cls.client = cls.ca.client("shop-frontdoor", dns=("frontdoor.shop.svc",))
        cls.app("orders", client=cls.client, paths=("/", "/v2/orders"))
        cls.app("returns", leaf=cls.other.server("returns.shop.svc"), client=cls.client,
                annotations={"proxy-ssl-verify": "off"})
        revoked = cls.ca.server("payments.shop.svc")
        cls.app("payments", leaf=revoked, crl=cls.ca.crl([revoked]), client=cls.client)
        cls.app("search", leaf=cls.other.server("search.shop.svc"))
        cls.app("gifts", client=cls.ca.client("gifts", not_after=from_now(hours=30)))
        cls.app("markup", client=cls.ca.client(MARKUP),
                annotations={"proxy-ssl-name": "markup.shop.svc"})
        cls.app("refused", annotations={"proxy-ssl-verify": cls.refused_value})
        cls.app("missing", secret="none")
        cls.handfast.apply("plain", *(one for number in range(cls.plain_apps) for one in (
            manifests.ingress(f"app-{number:03}", f"app-{number:03}.shop.example"),
            manifests.service(f"app-{number:03}", 9))))
        for name, status in (("orders", 200), ("returns", 200), ("payments", 502),
                             ("search", 502), ("gifts", 200), ("markup", 200), ("refused", 503),
                             ("missing", 503)):
            cls.handfast.wait_for(f"{name}.shop.example", status, streak=2)
        if cls.plain_apps:
            cls.handfast.wait_for(f"app-{cls.plain_apps - 1:03}.shop.example", 502, streak=1)

    @classmethod
    def app(cls, name, *, leaf=None, client=None, crl=None, secret=None, annotations=None,
            paths=("/",)):
        backend = Backend(leaf or cls.ca.server(f"{name}.shop.svc"))
        cls.addClassCleanup(backend.close)
        pair = {"tls_crt": client.chain_pem, "tls_key": client.key_pem} if client else {}
        front = cls.ca.server(f"{name}.shop.example", not_after=from_now(days=62))
        cls.handfast.apply(
            name,
            manifests.secret(f"{name}-client", ca_crt=cls.ca.cert_pem, ca_crl=crl, **pair),
            manifests.secret(f"{name}-front", tls_crt=front.chain_pem, tls_key=front.key_pem),
            manifests.ingress(name, f"{name}.shop.example", annotations={
                "backend-protocol": "HTTPS",
                "ssl-redirect": "false",
                "proxy-ssl-secret": f"shop/{secret or name + '-client'}", **(annotations or {})},
                paths=[(path, "Prefix", name, 443) for path in paths],
                tls=[{"hosts": [f"{name}.shop.example"], "secretName": f"{name}-front"}]),
            manifests.service(name, backend.port))

    def ask(self, target, host="localhost", method="GET"):
        return clients.fetch(self.admin, host, target, method)

    def status(self, query=""):
        answer = self.ask("/status.json" + query)
        self.assertEqual(answer.status, 200, answer)
        return answer.json()

    def host(self, name):
        found = self.status(f"?q={name}.shop.example")["hosts"]
        self.assertEqual([one["host"] for one in found], [f"{name}.shop.example"])
        return found[0]


class Answers(StatusCase):
    def test_a_failed_handshake_is_told_with_its_word(self):
        host = self.host("payments")
        [endpoint] = host["routes"][0]["service"]["endpoints"]

        self.assertEqual(host["health"], "bad")
        self.assertEqual(endpoint["handshake"]["result"], "revoked")
        [problem] = [one for one in self.status()["problems"] if one["reason"] == "revoked"]
        self.assertEqual((problem["kind"], problem["object"], problem["status"]),
                         ("backend", "Service shop/payments:443", 502))
        self.assertEqual(problem["hosts"], ["payments.shop.example"])

    def test_what_a_route_rests_on_is_told(self):
        host = self.host("orders")

        self.assertEqual(host["health"], "ok")
        self.assertEqual([route["path"] for route in host["routes"]], ["/v2/orders", "/"])
        route = host["routes"][1]
        self.assertEqual(route["service"]["endpoints"][0]["handshake"]["result"], "ok")
        identity = route["tls"]["identity"]
        self.assertEqual(int(identity["serial"], 16), self.client.serial)
        self.assertEqual(identity["names"], ["DNS:frontdoor.shop.svc"])
        self.assertEqual(identity["source"], "Secret/shop/orders-client")
        self.assertEqual(route["tls"]["ca"][0]["count"], 1)
        self.assertEqual(route["tls"]["expects"][0], "orders.shop.svc")
        self.assertEqual(host["certificates"][0]["names"], ["DNS:orders.shop.example"])

    def test_what_was_refused_is_told_with_the_reason(self):
        problems = {one["hosts"][0].split(".")[0]: one for one in self.status()["problems"]}

        self.assertEqual(problems["missing"]["kind"], "closed")
        self.assertEqual(problems["missing"]["reason"], "secret_missing")
        self.assertIn("none", problems["missing"]["detail"])
        self.assertEqual(problems["refused"]["reason"], "invalid_value")
        self.assertEqual(problems["gifts"]["kind"], "ends_soon")
        self.assertEqual(problems["gifts"]["object"], "Secret/shop/gifts-client")
        self.assertEqual(problems["returns"]["kind"], "unverified")

    def test_a_rotation_starts_anew(self):
        host = self.host("gifts")
        before = host["routes"][0]["tls"]["identity"]["serial"]
        self.app("gifts", client=self.ca.client("gifts", not_after=from_now(hours=40)))

        def check():
            route = self.host("gifts")["routes"][0]
            return route["tls"]["identity"]["serial"] != before
        eventually(check, "the new certificate")

    def test_only_names_of_this_machine_and_addresses_are_answered(self):
        for host in ("localhost", "127.0.0.1:10265", "[::1]:80", "handfast.localhost"):
            self.assertEqual(self.ask("/status.json", host).status, 200, host)
        for host in ("evil.example", "localhost.evil.example", "127.0.0.1.evil.example"):
            for target in ("/", "/status.json", "/v1/state"):
                self.assertEqual(self.ask(target, host).status, 421, host)

    def test_nothing_but_get_and_head_is_answered(self):
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            answer = self.ask("/status.json", method=method)
            self.assertEqual((answer.status, answer.header("Allow")), (405, "GET, HEAD"))
        answer = self.ask("/", method="HEAD")
        self.assertEqual((answer.status, answer.body), (200, b""))
        self.assertEqual(self.ask("/status.json?what").status, 400)
        self.assertEqual(self.ask("/none").status, 404)

    def test_the_page_may_load_nothing_from_elsewhere(self):
        for target, kind in (("/", "text/html"), ("/page.css", "text/css"),
                             ("/page.js", "text/javascript"), ("/status.json", "application/json"),
                             ("/v1/state", "application/json"), ("/none", "text/plain")):
            answer = self.ask(target)
            self.assertTrue(answer.header("Content-Type").startswith(kind))
            policy = answer.header("Content-Security-Policy")
            self.assertTrue(policy.startswith("default-src 'none'; script-src 'self';"), policy)
            self.assertNotIn("unsafe", policy)
            self.assertEqual(answer.header("X-Content-Type-Options"), "nosniff")
            self.assertEqual(answer.header("Cache-Control"), "no-store")

    def test_no_key_and_no_data_of_a_secret_is_in_any_answer(self):
        told = b"".join(self.ask(target).body for target in (
            "/", "/page.js", "/status.json?limit=500", "/v1/state")).decode()

        self.assertNotIn("BEGIN", told)
        for pem in (self.client.key_pem, self.client.chain_pem, self.ca.cert_pem):
            lines = [line for line in pem.splitlines() if len(line) > 20 and line[0] != "-"]
            self.assertFalse([line for line in lines if line in told])
            self.assertNotIn(base64.b64encode(pem.encode()).decode()[:60], told)

    def test_texts_of_objects_are_data_and_not_markup(self):
        identity = self.host("markup")["routes"][0]["tls"]["identity"]
        self.assertIn("<img src", identity["subject"].replace("\\", ""))
        self.assertIn(MARKUP, json.dumps(self.status()))
        self.assertNotIn("onerror", self.ask("/").body.decode())

    def test_requests_go_on_while_somebody_asks_all_the_time(self):
        for _ in range(50):
            self.status("?limit=500")
            self.assertEqual(self.handfast.get("orders.shop.example").status, 200)

    def test_who_asks_for_the_state_meanwhile_gets_the_same_answer(self):
        """Each looks at every policy, and anybody on this machine may ask in a loop."""
        proxy = self.handfast.child("handfast-proxy")
        self.addCleanup(os.kill, proxy, signal.SIGCONT)
        os.kill(proxy, signal.SIGSTOP)
        asking = [socket.create_connection(self.admin, timeout=20) for _ in range(100)]
        for one in asking:
            self.addCleanup(one.close)
            one.sendall(b"GET /v1/state HTTP/1.1\r\nHost: localhost\r\n\r\n")
        os.kill(proxy, signal.SIGCONT)

        statuses = [one.recv(12)[9:].decode() for one in asking]

        self.assertEqual(set(statuses), {"200", "503"})
        self.assertEqual(self.ask("/v1/state").status, 200)


class Dom(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))


@unittest.skipUnless(browser.program(), "no Chromium; ./dev install browser brings it")
class InABrowser(StatusCase):
    plain_apps = 120

    def setUp(self):
        self.browser = browser.Browser()
        self.addCleanup(self.browser.close)

    def open(self, fragment="", **look):
        self.browser.look_like(**{"width": 1280, "height": 900, **look})
        self.browser.open(self.url + fragment)
        self.browser.wait_for("document.querySelector('#hosts > *') !== null", "the hosts")

    def text_of(self, selector):
        return self.browser.evaluate(
            f"[...document.querySelectorAll({json.dumps(selector)})].map(e => e.innerText)")

    def assert_no_complaint(self):
        self.browser.evaluate("new Promise(done => setTimeout(done, 100))")
        self.assertEqual(self.browser.problems, [])

    def test_what_is_wrong_comes_first(self):
        self.open()

        [verdict] = self.text_of("#verdict")
        self.assertRegex(verdict, r"hosts fail")
        cards = self.text_of("#problems > li")
        [card] = [one for one in cards if "revoked" in one]
        self.assertIn("payments.shop.example", card)
        self.assertIn("Service shop/payments:443", card)
        self.assertEqual(self.text_of("#name"), [POD])
        self.assert_no_complaint()

    def test_what_was_refused_of_a_newer_generation_stands_on_top(self):
        self.open()
        self.browser.evaluate("""show_status({...seen, generation: {...seen.generation,
            last_refused: {number: 99, time: seen.time, rejected_total: 12, rejected: [
                {shard: 'tls/shop/a/a:443', field: 'identity.key', file: 'f', reason: 'bad_key',
                 detail: 'a torn key'}]}}})""")

        card = self.text_of("#problems > li")[0]
        for text in ("generation 99", "bad_key", "tls/shop/a/a:443", "a torn key", "11 more"):
            self.assertIn(text, card)

    def test_a_host_opens_to_its_identity(self):
        self.open()
        self.browser.evaluate("[...document.querySelectorAll('summary')]"
                              ".find(e => e.innerText.includes('payments')).click()")
        self.browser.wait_for("document.querySelector('.route') !== null", "the routes")

        [inside] = self.text_of("details[open] .inside")
        for text in ("revoked", "shop/payments:443", "shop-frontdoor", "DNS:frontdoor.shop.svc",
                     "Secret/shop/payments-client", "CRL"):
            self.assertIn(text, inside)
        self.assertIn("open=payments", self.browser.evaluate("location.hash"))
        self.assert_no_complaint()

    def test_of_many_hosts_a_page_is_shown_and_the_filter_finds_one(self):
        self.open()
        self.assertEqual(len(self.text_of("details.host")), 50)
        self.assertIn("of 128", self.text_of("#range")[0])

        self.browser.evaluate("document.getElementById('next').click()")
        self.browser.wait_for("document.getElementById('range').innerText.startsWith('51')",
                              "the next page")
        self.browser.evaluate("document.getElementById('back').click()")
        self.browser.wait_for("document.getElementById('range').innerText.startsWith('1\u2013')",
                              "the first page")
        self.browser.evaluate(
            "(e => { e.value = 'app-077'; e.dispatchEvent(new Event('input')); })"
            "(document.getElementById('text'))")
        self.browser.wait_for("document.querySelectorAll('details.host').length === 1", "one host")
        self.assertIn("app-077.shop.example", self.text_of("details.host")[0])

    def test_markup_in_objects_is_shown_as_it_is_written(self):
        self.open("#q=markup&open=markup.shop.example")
        self.browser.wait_for("document.querySelector('.route') !== null", "the routes")

        self.assertIn("<img src", self.text_of("details[open]")[0].replace("\\", ""))
        self.assertTrue([one for one in self.text_of("#problems > li") if MARKUP in one])
        dom = Dom(self.browser.evaluate("document.documentElement.outerHTML"))
        self.assertNotIn("img", [tag for tag, _ in dom.tags])
        self.assertEqual([attrs.get("src") for tag, attrs in dom.tags if tag == "script"],
                         ["page.js"])
        self.assertFalse([attrs for _, attrs in dom.tags
                          if any(name.startswith("on") for name in attrs)])
        self.assert_no_complaint()

    def test_it_fits_a_phone_in_light_and_in_the_dark(self):
        for dark in (False, True):
            self.open("#open=payments.shop.example", width=360, height=740, dark=dark,
                      mobile=True)
            self.browser.wait_for("document.querySelector('.route') !== null", "the routes")
            self.assertLessEqual(
                self.browser.evaluate("document.documentElement.scrollWidth"), 360)
            # Of what is written the contrast is at least that of WCAG's AA.
            self.assertEqual(self.browser.evaluate(f"({CONTRAST})()"), [], f"dark: {dark}")

    def test_no_other_site_reads_or_frames_it(self):
        def page(connection, request):
            connection.read_body(request)
            connection.reply("<!doctype html><p>another site", headers=[
                ("Content-Type", "text/html")], close=True)

        site = Backend(handle=page)
        self.addCleanup(site.close)
        self.browser.open(f"http://{browser.OTHER_SITE}:{site.port}/")
        self.browser.wait_for("document.body.innerText.includes('another')", "the other site")

        for mode in ("cors", "no-cors"):
            self.assertEqual(self.browser.evaluate(
                f"fetch('{self.url}status.json', {{mode: '{mode}'}})"
                ".then(() => 'read', () => 'refused')"), "refused", mode)
        self.browser.evaluate(f"""new Promise((done) => {{
            const frame = document.createElement('iframe');
            frame.onload = frame.onerror = done;
            frame.src = '{self.url}';
            document.body.append(frame);
        }})""")
        self.assertIn("frame-ancestors", json.dumps(self.browser.problems))

    def test_a_name_that_somebody_points_here_is_not_answered(self):
        self.browser.open(f"http://{browser.OTHER_SITE}:{self.admin[1]}/status.json")

        self.browser.wait_for("document.body.innerText.includes('only by localhost')", "421")

    def test_it_says_so_when_the_proxy_is_gone(self):
        self.open()
        self.browser.call("Network.enable")
        self.browser.call("Network.emulateNetworkConditions", offline=True, latency=0,
                          downloadThroughput=-1, uploadThroughput=-1)
        self.browser.evaluate("ask()")

        self.browser.wait_for("!document.getElementById('offline').hidden", "the warning")


# Texts whose contrast with what lies behind them is below 4.5.
CONTRAST = r"""() => {
  const numbers = (color) => color.match(/[\d.]+/g).map(Number);
  const light = (color) => {
    const [r, g, b] = numbers(color).map((value) => {
      const part = value / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = getComputedStyle(at).backgroundColor;
      if (!(numbers(color)[3] === 0)) return color;
    }
    return 'rgb(255, 255, 255)';
  };
  const found = [];
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || element.offsetParent === null || element.disabled) continue;
    const [a, b] = [light(getComputedStyle(element).color), light(behind(element))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) found.push(`${contrast.toFixed(2)} ${element.className} ${element.innerText}`);
  }
  return found;
}"""


@unittest.skipUnless(browser.program() and os.environ.get("HANDFAST_SCREENSHOTS"),
                     "no screenshots are asked for: ./dev screenshots")
class Screenshots(StatusCase):
    """What docs/status-page.md shows, into the folder that HANDFAST_SCREENSHOTS names."""

    plain_apps = 30
    refused_value = "yes"

    def test_takes_them(self):
        folder = pathlib.Path(os.environ["HANDFAST_SCREENSHOTS"])
        page = browser.Browser()
        self.addCleanup(page.close)
        for name, fragment, look, selector in (
                ("status-page", "", {"width": 940, "height": 800}, None),
                ("status-page-host", "#q=payments&open=payments.shop.example",
                 {"width": 940, "height": 800, "dark": True}, "details[open]")):
            page.look_like(**look)
            page.open(self.url + fragment)
            page.wait_for("document.querySelector('#hosts > *') !== null", "the hosts")
            page.screenshot(folder / f"{name}.png", selector, most=1400)


if __name__ == "__main__":
    unittest.main()
