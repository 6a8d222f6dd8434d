"""The images of a run: Handfast by the repository's Dockerfile, and what stands in for those that the
examples name.

No registry is asked: the base is Debian 13 by mmdebstrap, built by a dockerd of our own whose layers
lie in the cache, so that a second run builds what has changed. It ends with `Docker`.
"""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile

import spaces

ROOT = pathlib.Path(__file__).resolve().parents[2]
BASE = "handfast-e2e/base:trixie"
HANDFAST = "handfast:0.1.0"
# Targets of images/Dockerfile, and the names that pods have for them.
STAND_INS = {
    "pause": ["handfast-e2e/pause:1"],
    "tools": ["handfast-e2e/tools:1", "python:3-slim", "example/crl-tools:1"],
    "nginx": ["nginxinc/nginx-unprivileged:stable"],
    "greeter": ["example/greeter:1"],
    "operator": ["handfast-e2e/operator:1"],
}


class Docker:
    """A dockerd in namespaces of its own, but for the network: builds install packages."""

    def __init__(self, cache, cgroup):
        self.run_folder = tempfile.TemporaryDirectory(prefix="handfast-e2e-")
        self.socket = f"unix://{self.run_folder.name}/docker.sock"
        self.log = pathlib.Path(self.run_folder.name) / "dockerd.log"
        data = cache / "docker"
        data.mkdir(parents=True, exist_ok=True)
        # Its containerd must not be one of the machine's, which it finds by a path below /run.
        inside = ('resolv=$(cat /etc/resolv.conf); mount -t tmpfs -o mode=755 tmpfs /run; '
                  '[ -e /etc/resolv.conf ] || { at=$(readlink -m /etc/resolv.conf); '
                  'mkdir -p "${at%/*}"; echo "$resolv" >"$at"; }; exec dockerd "$@"')
        with open(self.log, "wb") as log:
            self.child = spaces.start(
                ["--mount", "--pid"],
                ["sh", "-c", inside, "sh", "--data-root", data, "--host", self.socket,
                 "--exec-root", f"{self.run_folder.name}/exec", "--pidfile",
                 f"{self.run_folder.name}/pid", "--bridge=none", "--iptables=false",
                 f"--cgroup-parent={cgroup}", "--exec-opt", "native.cgroupdriver=cgroupfs"],
                stdout=log, stderr=log)
        spaces.wait_until(lambda: self.run("version", check=False).returncode == 0, 60,
                          "dockerd", self.child, self.log)

    def run(self, *arguments, check=True, **options):
        options.setdefault("capture_output", True)
        # Debian's, not one that lies earlier on the PATH and lacks BuildKit's half.
        done = subprocess.run(["/usr/bin/docker", "--host", self.socket, *map(str, arguments)],
                              text=True, env=dict(os.environ, DOCKER_BUILDKIT="1"), **options)
        if check and done.returncode:
            raise spaces.Failed(f"docker {' '.join(map(str, arguments))}:\n"
                                f"{done.stdout or ''}\n{done.stderr or ''}"[-6000:])
        return done

    def build(self, context, name, *more):
        self.run("build", "--network", "host", "--progress", "plain", "--build-arg",
                 f"BASE={BASE}", "--tag", name, *more, context, stdin=subprocess.DEVNULL)

    def inspect(self, name):
        return json.loads(self.run("image", "inspect", name).stdout)[0]

    def close(self):
        spaces.stop(self.child)
        self.run_folder.cleanup()


def base(docker, cache):
    """Made once: the packages of a build come from the mirror as they are then."""
    if docker.run("image", "inspect", BASE, check=False).returncode == 0:
        return
    file = cache / "base.tar"
    if not file.exists():
        new = file.with_suffix(".new.tar")
        subprocess.run(["mmdebstrap", "--quiet", "--variant=minbase", "trixie", new], check=True,
                       stdin=subprocess.DEVNULL)
        new.rename(file)
    docker.run("import", file, BASE)


def build(cache, cgroup, say):
    """Everything into one archive, and what is known of Handfast's image."""
    docker = Docker(cache, cgroup)
    try:
        base(docker, cache)
        say("the base is there: Debian 13")
        docker.build(ROOT, HANDFAST)
        # As the sidecar's example has it.
        docker.run("tag", HANDFAST, "handfast:latest")
        own, below = docker.inspect(HANDFAST), docker.inspect(BASE)
        found = {"beyond_base": own["Size"] - below["Size"], "config": own["Config"]}
        say(f"built Handfast's image by its Dockerfile: {found['beyond_base'] / 1e6:.1f} MB "
            "beyond the base")
        names = [HANDFAST, "handfast:latest"]
        with tempfile.TemporaryDirectory() as context:
            shutil.copytree(ROOT / "tests/e2e/images", context, dirs_exist_ok=True)
            shutil.copy(cache.parent / "kube/bin/kubectl", context)
            for target, tags in STAND_INS.items():
                docker.build(context, tags[0], "--target", target)
                for tag in tags[1:]:
                    docker.run("tag", tags[0], tag)
                names += tags
        docker.run("image", "prune", "--force")
        say("built what stands in for the images of the examples")
        archive = cache / "images.tar"
        docker.run("save", "--output", archive, *names)
        return archive, found
    finally:
        docker.close()
