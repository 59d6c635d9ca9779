"""Two machines inside this one: network namespaces with a cable between them."""

import functools
import os
import signal
import subprocess
from contextlib import contextmanager

CABLE = "cable"  # the name of the network interface at both ends
ADDRESSES = ("10.77.0.1", "10.77.0.2")


def ip(words):
    "One call of the command `ip`; CalledProcessError where it refuses."
    done = subprocess.run(["ip", *words.split()], capture_output=True, text=True, check=True)
    return done.stdout


def pull_cable(machine):
    "As if somebody had: nothing arrives, and nobody is told."
    ip(f"-n {machine} link set {CABLE} down")


def plug_in(machine):
    "The opposite."
    ip(f"-n {machine} link set {CABLE} up")


def switch_off(machine):
    "End all processes of a machine at once."
    for process in ip(f"netns pids {machine}").split():
        os.kill(int(process), signal.SIGKILL)


def remove(machine):
    "With all that runs there."
    switch_off(machine)
    ip(f"netns delete {machine}")


@contextmanager
def two_machines():
    "Their names, for `ip netns exec`. OSError, CalledProcessError where this is not allowed."
    names = [f"adrec_nb-{os.getpid()}-{number}" for number in (0, 1)]
    made = []
    try:
        for name in names:
            ip(f"netns add {name}")
            made.append(name)
        one, other = names
        ip(f"link add {CABLE} netns {one} type veth peer name {CABLE} netns {other}")
        for name, address in zip(names, ADDRESSES, strict=True):
            ip(f"-n {name} address add {address}/24 dev {CABLE}")
            ip(f"-n {name} link set lo up")
            plug_in(name)
        yield names
    finally:
        for name in made:
            remove(name)


@functools.cache
def lacks_machines():
    "Whether they cannot be made here: no command `ip`, or not the rights."
    try:
        with two_machines():
            return False
    except (OSError, subprocess.CalledProcessError):
        return True
