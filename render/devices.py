# SPDX-License-Identifier: GPL-3.0-or-later
"""The devices that Cycles can render on, and how one is chosen."""

import bpy

BACKENDS = ("OPTIX", "CUDA", "HIP", "METAL")


def _preferences() -> bpy.types.AddonPreferences:
    return bpy.context.preferences.addons["cycles"].preferences


def found() -> dict[str, list[str]]:
    """Names of devices by backend in lower case; ``cpu`` is always there."""
    names = {"cpu": ["cpu"]}
    for backend in BACKENDS:
        try:
            devices = _preferences().get_devices_for_type(backend)
        except (ValueError, TypeError):  # a backend that this build of Blender does not know
            continue
        if devices:
            names[backend.lower()] = [device.name for device in devices if device.type == backend]
    return names


def use(device: str) -> str:
    """Set Cycles up for ``cpu`` or a backend, and return the value for ``scene.cycles.device``.

    Raises RuntimeError where there is no such device.
    """
    if device == "cpu":
        return "CPU"
    preferences = _preferences()
    preferences.compute_device_type = device.upper()
    preferences.refresh_devices()
    wanted = [entry for entry in preferences.devices if entry.type == device.upper()]
    if not wanted:
        raise RuntimeError(f"device: expected a {device} device, got none")
    for entry in preferences.devices:
        entry.use = entry in wanted
    return "GPU"
