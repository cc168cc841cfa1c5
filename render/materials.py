# SPDX-License-Identifier: GPL-3.0-or-later
"""The materials: rough and rubber-like, in one colour that changes between images; and one that glows, for masks."""

import bpy

COAT_ROUGHNESS = 0.6
COAT_IOR = 1.25  # of the Fresnel term that weighs the glossy coat against the diffuse body


class Rubber:
    """A diffuse body under a weak, rough glossy coat.

    ``material`` is what a mesh is given; ``colour`` is set with linear RGB, three numbers that may lie
    outside [0, 1] (the published generator does so).
    """

    def __init__(self, name: str) -> None:
        self.material = bpy.data.materials.new(name)
        self.material.use_nodes = True
        nodes, links = self.material.node_tree.nodes, self.material.node_tree.links
        nodes.clear()
        self._body = nodes.new("ShaderNodeBsdfDiffuse")
        coat = nodes.new("ShaderNodeBsdfGlossy")
        coat.distribution = "GGX"
        coat.inputs["Color"].default_value = (1, 1, 1, 1)
        coat.inputs["Roughness"].default_value = COAT_ROUGHNESS
        fresnel = nodes.new("ShaderNodeFresnel")
        fresnel.inputs["IOR"].default_value = COAT_IOR
        mix, output = nodes.new("ShaderNodeMixShader"), nodes.new("ShaderNodeOutputMaterial")
        links.new(fresnel.outputs["Fac"], mix.inputs[0])
        links.new(self._body.outputs[0], mix.inputs[1])
        links.new(coat.outputs[0], mix.inputs[2])
        links.new(mix.outputs[0], output.inputs["Surface"])

    @property
    def colour(self) -> tuple[float, float, float]:
        return tuple(self._body.inputs["Color"].default_value)[:3]

    @colour.setter
    def colour(self, rgb: tuple[float, float, float]) -> None:
        self._body.inputs["Color"].default_value = (*rgb, 1.0)


def glow(name: str) -> bpy.types.Material:
    """A material that is white whatever the light."""
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    nodes, links = material.node_tree.nodes, material.node_tree.links
    nodes.clear()
    emission, output = nodes.new("ShaderNodeEmission"), nodes.new("ShaderNodeOutputMaterial")
    emission.inputs["Color"].default_value = (1, 1, 1, 1)
    links.new(emission.outputs[0], output.inputs["Surface"])
    return material
