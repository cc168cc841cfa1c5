"""The command doctor: what works on this machine, Python, Blender and its libraries, torch, devices, disk, cores."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import click

from identbox.commands import options
from identbox.commands.display import cores, print_finding
from identbox.errors import IdentboxError
from identbox.rendering import blender

# Debian's and Ubuntu's names of what the bpy module links to and does not bring along.
SYSTEM_PACKAGES = {
    "libX11.so.6": "libx11-6",
    "libXrender.so.1": "libxrender1",
    "libXxf86vm.so.1": "libxxf86vm1",
    "libXfixes.so.3": "libxfixes3",
    "libXi.so.6": "libxi6",
    "libxkbcommon.so.0": "libxkbcommon0",
    "libSM.so.6": "libsm6",
    "libICE.so.6": "libice6",
    "libGL.so.1": "libgl1",
    "libEGL.so.1": "libegl1",
    "libgomp.so.1": "libgomp1",
}


@dataclass(frozen=True)
class Observation:
    """One thing that was examined; ``good`` is None where it is only reported, not judged."""

    what: str
    good: bool | None
    detail: str


def examine_machine(executable: str | None = None) -> list[Observation]:
    """Examine everything that rendering and training need; Blender is really started."""
    return [_python(), *_blender(blender.Blender(executable=executable)), _torch(), *_machine()]


def _python() -> Observation:
    return Observation("Python", sys.version_info >= (3, 11), sys.version.split()[0])


def _blender(runner: blender.Blender) -> list[Observation]:
    try:
        report = blender.describe_blender(runner)
    except IdentboxError as error:
        return [Observation("Blender", False, str(error) + remedy(str(error)))]
    devices = [
        f"{backend} ({', '.join(names)})" for backend, names in report["devices"].items() if backend != "cpu"
    ]
    how = runner.executable or "the bpy module"
    return [
        Observation("Blender", True, f"{report['blender']}, {how}"),
        Observation("render devices", None, ", ".join(["cpu", *devices])),
    ]


def remedy(message: str) -> str:
    """The command that installs the system library which a message says is missing, or nothing."""
    if not lacks_library(message):
        return ""
    return "; type: " + " && ".join(shlex.join(command) for command in installation())


def lacks_library(message: str) -> bool:
    """Whether a message is the dynamic linker's about a library of SYSTEM_PACKAGES."""
    match = re.search(r"(lib[\w.+-]+\.so[.\d]*): cannot open shared object", message)
    return match is not None and match[1] in SYSTEM_PACKAGES


def installation() -> list[list[str]]:
    """The commands that install the system libraries on Debian and Ubuntu, with sudo where one is not root."""
    prefix = [] if os.geteuid() == 0 else ["sudo"]
    packages = list(SYSTEM_PACKAGES.values())
    return [[*prefix, "apt-get", "update", "-q"], [*prefix, "apt-get", "install", "-yq", *packages]]


def install(executable: str | None = None) -> None:
    """Install the system libraries that Blender lacks, if it lacks any and this user may.

    Raises IdentboxError with the exact command to type where that is not possible.
    """
    try:
        blender.describe_blender(blender.Blender(executable=executable))
        return
    except IdentboxError as error:
        message = str(error)
    if not lacks_library(message):
        return  # another fault, which `examine_machine` reports
    allowed = os.geteuid() == 0 or (
        shutil.which("sudo") and not subprocess.run(["sudo", "-n", "true"], capture_output=True).returncode
    )
    if not (allowed and shutil.which("apt-get")):
        raise IdentboxError(message + remedy(message))
    for command in installation():
        if subprocess.run(command, env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"}).returncode:
            raise IdentboxError(
                f"{shlex.join(command)}: expected it to succeed, got a failure; type it yourself"
            )


def _torch() -> Observation:
    from importlib.metadata import PackageNotFoundError, version

    if find_spec("torch") is None:
        return Observation("torch", False, "not installed")
    try:
        number = version("torch")
    except PackageNotFoundError:
        number = "unknown version"
    import torch

    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(k) for k in range(torch.cuda.device_count())]
        return Observation("torch", True, f"{number}, CUDA: {', '.join(names)}")
    return Observation("torch", True, f"{number}, CPU")


def _machine() -> list[Observation]:
    free = shutil.disk_usage(Path.cwd()).free
    needed = 145_000 * 40_000  # bytes of the whole dataset, at about 40 kB an image
    return [
        Observation(
            "disk here", None, f"{free / 1e9:.0f} GB free (the whole dataset takes {needed / 1e9:.0f} GB)"
        ),
        Observation("cores", None, str(cores())),
    ]


@click.command("doctor")
@options.blender_option
@click.option(
    "--install", "wanted", is_flag=True, help="Install the system libraries that Blender lacks, if you may."
)
def doctor_command(executable: str | None, wanted: bool) -> None:
    """Say what works here: Blender, its libraries, torch, GPU, disk, cores."""
    if wanted:
        install(executable)
    findings = examine_machine(executable)
    for finding in findings:
        print_finding(finding.what, finding.good, finding.detail)
    if any(finding.good is False for finding in findings):
        raise IdentboxError("doctor: expected all of the above to work, got what is marked FAULT")
