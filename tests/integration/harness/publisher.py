"""The ways in which a Secret or a ConfigMap changes."""

import shutil

from . import manifests
from .volume import Volume

RENAMED = "a file renamed over the old one"
REWRITTEN = "the same file written anew"
SWAPPED = "a volume whose ..data link is swapped, as kubelet does"
WAYS = (RENAMED, REWRITTEN, SWAPPED)
RECREATED = "deleted and created anew"


class Published:
    """One object of the namespace shop, written in one of the ways."""

    def __init__(self, front, way, kind, name):
        self._front, self._way = front, way
        self._kind, self._name = kind, name
        self._file = f"{name}-{kind.lower()}"
        self._folder = front.manifests.folder / "shop" / f"{name}.{kind.lower()}"
        self._volume = None

    def put(self, data):
        """`data`: {key: text or bytes}."""
        {RENAMED: self._rename, RECREATED: self._rename, REWRITTEN: self._rewrite,
         SWAPPED: self._swap}[self._way](data)

    def delete(self):
        if self._way == SWAPPED:
            shutil.rmtree(self._folder)
            self._volume = None
        else:
            self._front.delete(self._file)

    def _object(self, data):
        if self._kind == "Secret":
            return manifests.secret(self._name, data=data)
        return {**manifests.config_map(self._name), "data": data}

    def _rename(self, data):
        self._front.apply(self._file, self._object(data))

    def _rewrite(self, data):
        (self._front.manifests.folder / f"{self._file}.yaml").write_text(
            manifests.dump(self._object(data)))

    def _swap(self, data):
        self._volume = self._volume or Volume(self._folder)
        self._volume.swap(data)
