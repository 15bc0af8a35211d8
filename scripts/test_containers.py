"""``make test-containers``: builds the images, brings docker-compose.yml up, and does to it what happens to containers.

Exit status 0: all is as docs/containers.md promises; 1: it is not; 77: there is no Docker engine, and none can be
started here, so that nothing was tested.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType

from scripts.container_cluster import cluster_profile
from scripts.container_fabric import CLUSTER, Fabric
from scripts.container_host import host_profile
from scripts.container_images import TARGETS, Images
from scripts.docker_engine import Unavailable, engine, ensure_base_image
from scripts.processes import ProcessError

ROOT = Path(__file__).parents[1]
DIRECTORY = ROOT / ".run" / "containers"
EXIT_UNAVAILABLE = 77
"""As automake's tests that were skipped: neither a success nor a failure."""

SIZE_MAX = 200_000_000  # bytes

_started = time.monotonic()


def main() -> int:
    """Test; the exit status."""
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, _interrupt)
    try:
        if os.geteuid():
            raise Unavailable("counting frames inside containers takes root")
        with engine(DIRECTORY / "docker") as docker:
            say("a Docker engine of our own" if docker.ours else "the Docker engine of this machine")
            say(f"the base image {ensure_base_image(docker, DIRECTORY)}")
            tag = f"test-{os.getpid()}"
            images = Images(docker, DIRECTORY / "context", tag)
            fabric = Fabric(docker, f"tunbridge-{tag}", tag)
            try:
                _test(images, fabric)
                fabric.down()
                for line in cluster_profile(Fabric(docker, f"tunbridge-{tag}", tag, CLUSTER)):
                    say(line)
            finally:
                left = fabric.remove()
                for target in TARGETS:
                    subprocess.run(
                        ["docker", "image", "rm", "--force", images.name(target)],
                        env=dict(docker.environment), capture_output=True, timeout=60,
                    )  # fmt: skip
            expect(not left, f"down, and nothing is left: {', '.join(left) or 'no container, network or volume'}")
    except Unavailable as reason:
        print(f"make test-containers: nothing was tested: {reason}", file=sys.stderr)
        return EXIT_UNAVAILABLE
    except (ProcessError, subprocess.SubprocessError, OSError) as error:
        print(f"make test-containers: FAILED: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    say("passed")
    return 0


def _interrupt(signum: int, frame: FrameType | None) -> None:
    """End the test once: what is taken down then is not to be interrupted again."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    raise KeyboardInterrupt


def say(text: str) -> None:
    """Say what was done, and when."""
    print(f"[{time.monotonic() - _started:6.1f} s] {text}", flush=True)


def expect(right: bool, text: str) -> None:
    """Say what was seen.

    :raises ProcessError: it is not right
    """
    if not right:
        raise ProcessError(text)
    say(text)


def _test(images: Images, fabric: Fabric) -> None:
    images.stage()
    for target in TARGETS:
        size = images.build(target)
        expect(target != "tunbridge" or size < SIZE_MAX, f"image {images.name(target)} built: {size / 1e6:.0f} MB")
    ends = fabric.layout.ends
    fabric.up()
    expect(fabric.check() == 0, "the check ended with status 0:")
    print(fabric.logs("check"), flush=True)
    for command in (["status"], ["flows", "br-tun"]):
        print(f"$ docker compose exec controller1 tunbridge {' '.join(command)}")
        print(fabric.execute("controller1", "tunbridge", *command), flush=True)
    active = {port for port, state in fabric.port_states().items() if state == "ACTIVE"}
    expect(active == fabric.vm_ports(), "the API says of the VMs' ports, and of no other, that they are ACTIVE")
    expect(fabric.converse(*ends), "the VMs speak TCP")
    _upgrade(images, fabric)
    for service in ("topology", "api", "controller1", "controller2"):
        _probed(fabric, f"{service} killed (SIGKILL) and back", partial(fabric.kill, service))
    for service in ends:
        fabric.kill(service)
        fabric.wait_in_sync()
        expect(fabric.ping(*ends), f"{service} killed with its VM (SIGKILL) and back, in sync: the VMs ping each other")
    fabric.kill(ends[0], "ovs-vswitchd ")
    fabric.wait_in_sync()
    expect(fabric.ping(*ends), f"ovs-vswitchd of {ends[0]} killed (SIGKILL) and back, in sync: the VMs ping each other")
    fabric.down()
    fabric.up()
    expect(fabric.check() == 0, "down and up again: the check ended with status 0")
    expect("create " not in fabric.logs("check"), "the topology was there still: applying the demo changed nothing")
    with tempfile.TemporaryDirectory(prefix="tunbridge-ovs-") as directory:
        for line in host_profile(fabric, Path(directory)):
            say(line)


def _upgrade(images: Images, fabric: Fabric) -> None:
    before = fabric.inspect("controller1", "{{.Image}}")

    def replace() -> None:
        images.build("tunbridge", revision="upgrade")
        fabric.compose("up", "--detach", "--no-build", "--no-deps", "controller1")

    _probed(fabric, "controller1 replaced by one of another image", replace)
    expect(fabric.inspect("controller1", "{{.Image}}") != before, "controller1 runs the other image")


def _probed(fabric: Fabric, what: str, do: Callable[[], object]) -> None:
    """Do something while numbered frames go between the VMs, and lose none."""
    with fabric.probe() as probe:
        do()
        fabric.wait_in_sync()
        counted = probe.stop()
    expect(counted.lost == 0 and counted.duplicated == 0, f"{what}, in sync: {counted}")


if __name__ == "__main__":
    sys.exit(main())
