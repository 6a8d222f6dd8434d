"""Who may include whom: the table of libraries and the table of foreign headers."""

import fnmatch
import re
import unittest

import tree

# A library may include those named and what they may include. The proxy never knows the
# controller, and of the proxy the controller knows base, config and pki, but for INSIDE.
MAY_USE = {
    "proxy/base": [],
    "proxy/config": ["proxy/base"],
    "proxy/pki": ["proxy/base"],
    "proxy/event": ["proxy/base"],
    "proxy/net": ["proxy/base", "proxy/event"],
    "proxy/tls": ["proxy/base", "proxy/net", "proxy/pki"],
    "proxy/http": ["proxy/base"],
    "proxy/route": ["proxy/base", "proxy/config", "proxy/net", "proxy/pki", "proxy/tls"],
    "proxy/upstream": ["proxy/base", "proxy/event", "proxy/net", "proxy/tls", "proxy/http",
                       "proxy/route"],
    "proxy/session": ["proxy/base", "proxy/config", "proxy/event", "proxy/net", "proxy/http",
                      "proxy/route", "proxy/upstream"],
    "proxy/server": ["proxy/session"],
    "controller/objects": ["proxy/base"],
    "controller/kube": ["controller/objects", "proxy/base", "proxy/pki"],
    "controller/source": ["controller/kube", "controller/objects", "proxy/base"],
    "controller/state": ["controller/objects", "proxy/base"],
    "controller/translate": ["controller/state", "proxy/base", "proxy/config", "proxy/pki"],
    "controller/publish": ["proxy/base", "proxy/config"],
    "controller/fetch": ["controller/kube", "controller/publish", "controller/source",
                         "proxy/pki"],
    "controller/preflight": ["controller/translate", "controller/publish", "proxy/pki"],
    "controller/serving": ["proxy/base", "proxy/pki"],
    "controller/metrics": ["controller/serving"],
    "controller/status": ["controller/kube", "controller/translate", "controller/publish"],
    "controller/admission": ["controller/kube", "controller/metrics", "controller/serving",
                             "controller/source", "controller/translate"],
    "controller/reconcile": ["controller/source", "controller/translate", "controller/publish",
                             "controller/metrics", "controller/preflight", "controller/status"],
    "cmd/handfast-proxy": ["proxy/server"],
    "cmd/handfast-controller": ["controller/admission", "controller/fetch", "controller/reconcile"],
    # The tool drives both as processes, and answers for them: lint, explain and verify use the code
    # of either.
    "cmd/handfast": ["controller/fetch", "controller/source", "controller/translate",
                     "proxy/server"],
}

# What a library uses in its sources alone: its headers don't show it, and who uses the library
# doesn't get it.
INSIDE = {
    "controller/serving": ["proxy/http"],  # one parser of requests, the one that is fuzzed
}

# Foreign headers and the files that may include them. Where only .cc files are named, the library
# is an implementation detail that no header shows.
FOREIGN = {
    "yaml-cpp/*": ["proxy/config/*.cc", "controller/source/*.cc"],
    "prometheus/*": ["proxy/server/*metrics*.cc", "controller/metrics/*.cc"],
    "cpprest/*": ["controller/kube/*.cc", "controller/kube/http_exchange.h",
                  "controller/fetch/http_getter.cc"],
    "pplx/*": ["controller/kube/*.cc", "controller/fetch/http_getter.cc"],
    "ares.h": ["proxy/upstream/dns_client.cc"],
    "nghttp2/*": ["proxy/http/h2_codec.cc", "proxy/http/h2_codec_frames.cc",
                  "proxy/http/h2_codec_impl.h", "proxy/http/h2_memory.h"],
    "boost/*": ["controller/kube/api_client.cc"],  # what cpprestsdk shows of a connection
    "openssl/*": ["proxy/pki/*", "proxy/tls/*", "proxy/config/*.cc", "controller/kube/*.cc",
                  "controller/admission/*.cc", "controller/serving/*.cc", "tests/*"],
    "openssl/tls1.h": ["proxy/server/snapshot_builder.cc"],  # the numbers of the versions
    "tl/expected.hpp": ["proxy/base/result.h"],
    "gtest/*": ["tests/*"],
    "gmock/*": ["tests/*"],
    # The system's own.
    "sys/*": ["*"], "arpa/*": ["*"], "net/*": ["*"], "netinet/*": ["*"], "linux/*": ["*"],
}

_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">]+)[">]', re.MULTILINE)


def closure(library):
    known, pending = set(), [library]
    while pending:
        one = pending.pop()
        if one not in known:
            known.add(one)
            pending.extend(MAY_USE[one])
    return known


def library_of(path):
    parts = path.split("/")
    return "/".join(parts[:2]) if len(parts) > 2 else None


def violations(path, source):
    for quote, header in _INCLUDE.findall(source):
        if quote == '"':
            yield from wrong_own_include(path, header)
        elif "/" in header or header in FOREIGN:
            allowed = [files for form, files in FOREIGN.items() if fnmatch.fnmatch(header, form)]
            if not allowed:
                yield f"{path}: <{header}> is not in the table of foreign headers"
            elif not any(fnmatch.fnmatch(path, form) for files in allowed for form in files):
                where = ", ".join(sum(allowed, []))
                yield f"{path}: <{header}> is allowed only in {where}"


def wrong_own_include(path, header):
    library, used = library_of(path), library_of(header)
    if used is None or not (tree.ROOT / header).exists():
        yield f'{path}: "{header}" is not a path from the root of the tree'
    elif path.startswith("tests/"):
        return
    elif library not in MAY_USE:
        yield f"{path}: {library} is not in the table of libraries"
    elif path.endswith(".cc") and used in INSIDE.get(library, []):
        return
    elif used not in closure(library):
        yield f'{path}: {library} may not use {used} ("{header}")'


class Layering(unittest.TestCase):
    def test_every_include_follows_the_tables(self):
        paths = tree.sources(*tree.PARTS, "tests")
        self.assertTrue(paths)
        found = [line for path in paths for line in violations(path, tree.text(path))]
        self.assertFalse(found, "\n" + "\n".join(found))

    def test_the_table_has_no_circle(self):
        for library, used in MAY_USE.items():
            for one in used:
                self.assertNotIn(library, closure(one), f"{library} and {one} need each other")

    def test_the_table_keeps_the_two_parts_apart(self):
        shared = {"proxy/base", "proxy/config", "proxy/pki"}
        for library in MAY_USE:
            of_proxy = {one for one in closure(library) if one.startswith("proxy/")}
            if library.startswith("proxy/"):
                self.assertEqual(of_proxy, closure(library))
            elif library.startswith("controller/"):
                self.assertLessEqual(of_proxy, shared, library)

    def test_notices_the_proxy_including_the_controller(self):
        source = '#include "controller/objects/objects.h"\n'
        self.assertEqual(len(list(violations("proxy/http/x.cc", source))), 1)

    def test_what_is_used_inside_is_seen_by_nobody_else(self):
        source = '#include "proxy/http/h1_parser.h"\n'
        self.assertEqual(list(violations("controller/serving/x.cc", source)), [])
        self.assertEqual(len(list(violations("controller/serving/x.h", source))), 1)
        self.assertEqual(len(list(violations("controller/metrics/x.cc", source))), 1)

    def test_notices_a_foreign_header_in_a_header_of_ours(self):
        source = "#include <yaml-cpp/yaml.h>\n"
        self.assertEqual(len(list(violations("proxy/config/x.h", source))), 1)
        self.assertEqual(list(violations("proxy/config/x.cc", source)), [])

    def test_notices_a_foreign_library_that_nobody_named(self):
        self.assertEqual(len(list(violations("proxy/net/x.cc", "#include <boost/asio.hpp>\n"))), 1)


if __name__ == "__main__":
    unittest.main()
