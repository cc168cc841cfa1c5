# SPDX-License-Identifier: GPL-3.0-or-later
"""The scene in Blender: built once, then changed from record to record and rendered with Cycles."""

from math import pi
from pathlib import Path

import bpy
from mathutils import Vector

import devices
import meshes
from materials import Rubber, glow

CAMERA_LOCATION = (8.0, 0.0, 8.0)
LENS, SENSOR = 35.0, 50.0  # mm
GROUND_SIDE = 1500.0
SPOT_ENERGY, SPOT_CONE, SPOT_BLEND, SPOT_SOFT_SIZE = 3000.0, 35 / 180 * pi, 0.1, 0.5
SUN_STRENGTH = 0.5
AREA_LOCATION, AREA_SIDE, AREA_POWER = (0.0, 0.0, 7.0), 1.0, 39.27
SHARP_EDGE = 40 / 180 * pi


class Studio:
    """Camera, lights, ground and one object; `render` writes one image of one record.

    ``settings``: ``size`` (pixels), ``samples`` (a pixel), ``device`` (``cpu``, ``cuda``, ``optix``, ``hip``,
    ``metal``), ``threads``, and ``shapes``, a dict from the name of a shape to its .npz.
    """

    def __init__(self, settings: dict) -> None:
        bpy.ops.wm.read_factory_settings(use_empty=True)
        self.scene = bpy.context.scene
        self._files = settings["shapes"]
        self._meshes: dict[str, bpy.types.Mesh] = {}
        self._set_up_render(settings)
        self._set_up_camera()
        self._set_up_lights()
        self._ground_paint, self._object_paint = Rubber("ground"), Rubber("object")
        self._white = glow("white")
        self._ground = self._add("ground", _plane(GROUND_SIDE))
        self._ground.data.materials.append(self._ground_paint.material)
        self._object = self._add("object", bpy.data.meshes.new("empty"))

    def _add(self, name: str, data: bpy.types.ID | None) -> bpy.types.Object:
        thing = bpy.data.objects.new(name, data)
        self.scene.collection.objects.link(thing)
        return thing

    def _set_up_render(self, settings: dict) -> None:
        render, cycles = self.scene.render, self.scene.cycles
        render.engine = "CYCLES"
        self.set_quality(settings["size"], settings["samples"])
        render.resolution_percentage = 100
        render.use_persistent_data = True
        render.use_compositing = render.use_sequencer = False
        render.dither_intensity = 0.0
        render.threads_mode, render.threads = "FIXED", settings["threads"]
        render.image_settings.file_format = "PNG"
        render.image_settings.color_mode, render.image_settings.color_depth = "RGB", "8"
        render.image_settings.compression = 15
        self.scene.view_settings.view_transform = "Standard"
        self.scene.view_settings.look = "None"
        cycles.use_adaptive_sampling = False
        cycles.max_bounces = 0
        cycles.caustics_reflective = cycles.caustics_refractive = False
        cycles.use_light_tree = False
        cycles.use_auto_tile = False
        cycles.use_denoising = True
        cycles.denoiser = "OPENIMAGEDENOISE"
        # This setting of Open Image Denoise is the cheapest, and no other gains as much quality as one more sample.
        cycles.denoising_quality = "FAST"
        cycles.denoising_prefilter = "NONE"
        cycles.denoising_input_passes = "RGB_ALBEDO_NORMAL"
        cycles.denoising_use_gpu = settings["device"] != "cpu"
        cycles.device = devices.use(settings["device"])

    def set_quality(self, size: int, samples: int) -> None:
        """Pixels a side, and samples of a pixel, of the images from now on."""
        self.scene.render.resolution_x = self.scene.render.resolution_y = size
        self.scene.cycles.samples = samples

    def _set_up_camera(self) -> None:
        lens = bpy.data.cameras.new("camera")
        lens.lens, lens.sensor_width, lens.sensor_fit = LENS, SENSOR, "HORIZONTAL"
        camera = self._add("camera", lens)
        camera.location = CAMERA_LOCATION
        camera.rotation_euler = _aim(CAMERA_LOCATION, (0, 0, 0))
        self.scene.camera = camera

    def _set_up_lights(self) -> None:
        world = bpy.data.worlds.new("world")
        world.use_nodes = True
        world.node_tree.nodes["Background"].inputs["Strength"].default_value = 0.0
        self.scene.world = world
        sun = bpy.data.lights.new("sun", "SUN")
        sun.energy = SUN_STRENGTH
        self._lights = [self._add("sun", sun)]
        area = bpy.data.lights.new("area", "AREA")
        area.energy, area.size = AREA_POWER, AREA_SIDE
        self._lights.append(self._add("area", area))
        self._lights[-1].location = AREA_LOCATION
        spot = bpy.data.lights.new("spot", "SPOT")
        spot.energy, spot.spot_size = SPOT_ENERGY, SPOT_CONE
        spot.spot_blend, spot.shadow_soft_size = SPOT_BLEND, SPOT_SOFT_SIZE
        self._spot = self._add("spot", spot)
        self._lights.append(self._spot)

    def _mesh(self, shape: str) -> bpy.types.Mesh:
        if shape not in self._meshes:
            mesh = bpy.data.meshes.new(shape)
            vertices, faces = meshes.load(self._files[shape])
            mesh.from_pydata(vertices, [], faces)
            mesh.shade_smooth()
            mesh.set_sharp_from_angle(angle=SHARP_EDGE)
            mesh.materials.append(self._object_paint.material)
            self._meshes[shape] = mesh
        return self._meshes[shape]

    def pose(self, record: dict) -> None:
        """Put the scene into the state that a record describes.

        Its key ``show`` may say that all is shown but the object (``ground``), or the object alone, white on black
        (``mask``).
        """
        self._object.data = self._mesh(record["shape"])
        self._object.scale = [record["extent"]] * 3
        self._object.location = record["location"]
        self._object.rotation_euler = record["rotation"]
        self._object_paint.colour = record["object_color"]
        self._ground.location.z = record["ground_z"]
        self._ground_paint.colour = record["ground_color"]
        self._spot.location = record["spot_location"]
        self._spot.rotation_euler = _aim(record["spot_location"], record["location"])
        self._spot.data.color = record["spot_color"]
        shown = record.get("show", "scene")
        self._object.hide_render = shown == "ground"
        for thing in (self._ground, *self._lights):
            thing.hide_render = shown == "mask"
        self._object.material_slots[0].link = "OBJECT"
        self._object.material_slots[0].material = (
            self._white if shown == "mask" else self._object_paint.material
        )
        self.scene.cycles.seed = record["seed"]

    def render(self, record: dict, path: Path) -> None:
        """Render a record to a PNG at ``path``."""
        self.pose(record)
        self.scene.render.filepath = str(path)
        bpy.ops.render.render(write_still=True)


def _aim(source, target):
    """Euler angles that turn the -Z of a camera or light at ``source`` to ``target``, its Y upwards."""
    return (Vector(target) - Vector(source)).to_track_quat("-Z", "Y").to_euler()


def _plane(side: float) -> bpy.types.Mesh:
    h = side / 2
    mesh = bpy.data.meshes.new("plane")
    mesh.from_pydata([(-h, -h, 0), (h, -h, 0), (h, h, 0), (-h, h, 0)], [], [(0, 1, 2, 3)])
    return mesh
