"""Nothing in the tree is a private key, and nothing names the machine that it was written on."""

import base64
import binascii
import re
import unittest

import tree

# A real key's base64 begins at once; a text that only mentions the BEGIN line has none behind it.
_KEY = re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----(?:\\[rn]|[\s\"'|+\\])*"
                  r"(?:[A-Za-z-]+: [^\n]*\n+)*\s*[A-Za-z0-9+/]{40}")
# The same, once more in base64, as `data` of a Secret holds it.
_WRAPPED = re.compile(r"LS0tLS1CRUdJTi[A-Za-z0-9+/=\s]{40,}")
_MACHINE_PATH = re.compile(r"(?<![\w.$}])/(?:home|Users|root|work)/[\w.-]+")


def keys(text):
    for match in _KEY.finditer(text):
        yield match.group(0)[:31]
    for match in _WRAPPED.finditer(text):
        packed = "".join(match.group(0).split()).rstrip("=")
        try:
            inner = base64.b64decode(packed[:len(packed) // 4 * 4]).decode("latin-1")
        except binascii.Error:
            continue
        if _KEY.search(inner):
            yield "a private key in base64"


def machine_paths(text):
    return [match.group(0) for match in _MACHINE_PATH.finditer(text)]


class Secrets(unittest.TestCase):
    def test_no_file_holds_a_private_key(self):
        found = [f"{path}: {key}" for path in tree.files() for key in keys(tree.text(path))]
        self.assertFalse(found, "\n" + "\n".join(found))

    def test_no_file_names_a_path_of_one_machine(self):
        found = [f"{path}: {where}" for path in tree.files()
                 for where in machine_paths(tree.text(path))]
        self.assertFalse(found, "\n" + "\n".join(found))

    def test_notices_a_key_plain_escaped_indented_and_wrapped(self):
        begin = "-----BEGIN " + "PRIVATE KEY-----"
        body = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg"
        plain = f"{begin}\n{body}\n"
        for text in (plain, f"{begin}\\n{body}", f"  tls.key: |\n    {begin}\n    {body}\n",
                     base64.b64encode(plain.encode()).decode()):
            self.assertTrue(list(keys(text)), text)

    def test_lets_a_text_speak_about_keys(self):
        self.assertEqual(list(keys('"-----BEGIN ' + 'PRIVATE KEY-----" begins a key')), [])

    def test_notices_a_path_of_one_machine(self):
        self.assertTrue(machine_paths("see /" + "home/someone/x"))
        self.assertEqual(machine_paths("https://example.org/work/x and /run/handfast"), [])


if __name__ == "__main__":
    unittest.main()
