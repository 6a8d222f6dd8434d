"""What the language is used for: no throw, few catches, no using namespace, #pragma once first."""

import re
import unittest

import tree

# The adapters that call a library which throws; its exceptions become an Error there.
MAY_CATCH = {
    "proxy/config/document.cc": "yaml-cpp",
    "controller/source/yaml_piece.cc": "yaml-cpp",
    "controller/fetch/http_getter.cc": "cpprestsdk",
    "controller/kube/api_client.cc": "cpprestsdk",
    "controller/kube/http_exchange.cc": "cpprestsdk",
}

_RULES = (
    (re.compile(r"\bthrow\b"), "throws: return an Error"),
    # Literals have no other way in than their namespace.
    (re.compile(r"\busing\s+namespace\b(?!\s+std::(?:\w+::)*\w*literals\s*;)"),
     "using namespace: name what is used"),
    (re.compile(r"\b(?:co_await|co_return|co_yield)\b"), "a coroutine: write the state machine"),
    (re.compile(r"\bdynamic_cast\s*<"), "dynamic_cast: let the type say what it can"),
)
_CATCH = re.compile(r"\b(?:try\s*\{|catch\s*\()")


def violations(path, source):
    code = tree.code_only(source)
    for pattern, message in _RULES:
        for match in pattern.finditer(code):
            yield f"{path}:{line_of(code, match)}: {message}"
    if path not in MAY_CATCH and not path.startswith("tests/"):
        for match in _CATCH.finditer(code):
            yield f"{path}:{line_of(code, match)}: try/catch outside the list of adapters"
    if path.endswith(".h") and not source.startswith("#pragma once\n"):
        yield f"{path}:1: a header begins with #pragma once"


def line_of(code, match):
    return code.count("\n", 0, match.start()) + 1


class Language(unittest.TestCase):
    def test_every_source_keeps_the_rules(self):
        paths = tree.sources(*tree.PARTS, "tests")
        self.assertTrue(paths)
        found = [line for path in paths for line in violations(path, tree.text(path))]
        self.assertFalse(found, "\n" + "\n".join(found))

    def test_the_list_of_adapters_names_files_that_catch(self):
        for path in MAY_CATCH:
            self.assertTrue((tree.ROOT / path).exists(), f"{path} is gone: take it off the list")
            self.assertRegex(tree.code_only(tree.text(path)), _CATCH)

    def test_notices_each_forbidden_thing(self):
        for code in ("throw 1;", "using namespace std;", "try { f(); } catch (...) {}",
                     "co_await x;"):
            self.assertTrue(list(violations("proxy/net/x.cc", code)), code)
        self.assertTrue(list(violations("proxy/net/x.h", "// Text.\n#pragma once\n")))

    def test_reads_neither_comments_nor_strings(self):
        source = '// May throw.\nauto a = "throw"; auto b = R"(try {)"; /* catch ( */ int c = \'"\';'
        self.assertEqual(list(violations("proxy/net/x.cc", source)), [])
        self.assertEqual(len(list(violations("proxy/net/x.cc", source + " throw c;"))), 1)


if __name__ == "__main__":
    unittest.main()
