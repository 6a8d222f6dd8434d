"""The files that the rules read: the tree without what a build or git left in it."""

import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
PARTS = ("proxy", "controller", "cmd")
_NOT_OURS = {".git", ".cache", "build", "__pycache__"}


def files(*folders, suffixes=None):
    """Paths relative to the root, sorted; all files of the folders (default: of the whole tree)."""
    found = []
    pending = [ROOT / folder for folder in folders] if folders else [ROOT]
    while pending:
        for path in pending.pop().iterdir():
            # In a worktree of git's, .git is a file.
            if path.is_symlink() or path.name in _NOT_OURS:
                continue
            if path.is_dir():
                pending.append(path)
            elif suffixes is None or path.suffix in suffixes:
                found.append(path.relative_to(ROOT).as_posix())
    return sorted(found)


def sources(*folders):
    return files(*folders, suffixes={".h", ".cc"})


def text(path):
    return (ROOT / path).read_text(encoding="utf-8", errors="replace")


_TOKEN = re.compile(
    r'//[^\n]*|/\*.*?\*/'                                     # comments
    r'|R"(?P<mark>[^()\\ \n]{0,16})\(.*?\)(?P=mark)"'         # raw strings
    r'|"(?:\\.|[^"\\\n])*"|(?<![0-9A-Fa-f])\'(?:\\.|[^\'\\\n])+\'',  # strings, characters
    re.DOTALL)


def code_only(source):
    """C++ without comments and with empty strings; line numbers stay."""
    def blank(match):
        token = match.group(0)
        return ("" if token.startswith("/") else '""') + "\n" * token.count("\n")
    return _TOKEN.sub(blank, source)


def string_literals(source):
    """The insides of the string literals of C++ code, without those in comments."""
    for match in _TOKEN.finditer(source):
        token = match.group(0)
        if token.startswith('R"'):
            yield token[token.index("(") + 1:token.rindex(")")]
        elif token.startswith('"'):
            yield token[1:-1]
