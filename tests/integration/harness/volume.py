"""A projected volume, as kubelet brings it into a pod."""

import itertools
import pathlib
import shutil


class Volume:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True)
        self._numbers = itertools.count(1)

    def swap(self, files):
        """The content becomes {path: text}: a directory beside the old one, one rename of a link,
        and links to what lies at its top."""
        new = self.folder / f"..{next(self._numbers)}"
        for path, text in files.items():
            place = new / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(text if isinstance(text, bytes) else text.encode())
        data = self.folder / "..data"
        old = data.resolve() if data.exists() else None
        staged = self.folder / "..data_tmp"
        staged.symlink_to(new.name)
        staged.rename(data)
        for entry in new.iterdir():
            link = self.folder / entry.name
            if not link.is_symlink():
                link.symlink_to(f"..data/{entry.name}")
        for link in list(self.folder.iterdir()):
            if link.is_symlink() and not link.exists():
                link.unlink()
        if old is not None:
            shutil.rmtree(old)
