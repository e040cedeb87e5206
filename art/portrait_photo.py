"""Photographs the head of portrait_face.py; runs inside Blender, which brings `bpy` and numpy."""

# mypy: ignore-errors
# Nobody has types for what Blender brings.

import json
import math
import sys
from pathlib import Path

import bpy
import numpy as np

ORDER = json.loads(Path(sys.argv[sys.argv.index("--") + 1]).read_text())
FOLDER = Path(ORDER["folder"])


def material(name, build):
    made = bpy.data.materials.new(name)
    made.use_nodes = True
    nodes, links = made.node_tree.nodes, made.node_tree.links
    build(nodes, links, nodes["Principled BSDF"])
    return made


def image(nodes, file, data=False):
    node = nodes.new("ShaderNodeTexImage")
    node.image = bpy.data.images.load(str(FOLDER / file))
    node.interpolation = "Cubic"
    if data:
        node.image.colorspace_settings.name = "Non-Color"
    return node


def skin(nodes, links, surface):
    colour, other = image(nodes, "colour.png"), image(nodes, "surface.png", data=True)
    split = nodes.new("ShaderNodeSeparateRGB")
    links.new(other.outputs["Color"], split.inputs[0])
    links.new(colour.outputs["Color"], surface.inputs["Base Color"])
    links.new(colour.outputs["Color"], surface.inputs["Subsurface Color"])
    links.new(split.outputs[0], surface.inputs["Roughness"])
    much = nodes.new("ShaderNodeMath")
    much.operation = "MULTIPLY"
    much.inputs[1].default_value = 0.55
    links.new(split.outputs[1], much.inputs[0])
    links.new(much.outputs[0], surface.inputs["Subsurface"])
    surface.inputs["Subsurface Radius"].default_value = (0.055, 0.020, 0.010)
    surface.inputs["Specular"].default_value = 0.42
    surface.subsurface_method = "BURLEY"


def eye(nodes, links, surface):
    links.new(image(nodes, "eye.png").outputs["Color"], surface.inputs["Base Color"])
    surface.inputs["Roughness"].default_value = 0.35
    surface.inputs["Clearcoat"].default_value = 1.0
    surface.inputs["Clearcoat Roughness"].default_value = 0.02


def plain(colour, rough, specular=0.5):
    def build(_nodes, _links, surface):
        surface.inputs["Base Color"].default_value = (*colour, 1)
        surface.inputs["Roughness"].default_value = rough
        surface.inputs["Specular"].default_value = specular

    return build


def add(name, places, faces, look, uv=None):
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata([], [], [])
    mesh.vertices.add(len(places))
    mesh.vertices.foreach_set("co", places.astype(np.float32).ravel())
    mesh.loops.add(faces.size)
    mesh.loops.foreach_set("vertex_index", faces.astype(np.int32).ravel())
    mesh.polygons.add(len(faces))
    sides = faces.shape[1]
    mesh.polygons.foreach_set("loop_start", np.arange(0, faces.size, sides, dtype=np.int32))
    mesh.polygons.foreach_set("loop_total", np.full(len(faces), sides, np.int32))
    mesh.polygons.foreach_set("use_smooth", np.ones(len(faces), bool))
    if uv is not None:
        layer = mesh.uv_layers.new(name="uv")
        layer.data.foreach_set("uv", uv[faces.ravel()].astype(np.float32).ravel())
    mesh.update(calc_edges=True)
    mesh.materials.append(look)
    thing = bpy.data.objects.new(name, mesh)
    bpy.context.collection.objects.link(thing)
    return thing


def relief():
    left, right, low, high, step, nothing = ORDER["grid"]
    z = np.load(FOLDER / "z.npy")
    rows, columns = z.shape
    x = left + (np.arange(columns) + 0.5) * step
    y = high - (np.arange(rows) + 0.5) * step
    across, down = np.meshgrid(x, y)
    places = np.stack([across, down, z], axis=2).reshape(-1, 3)
    index = np.arange(rows * columns).reshape(rows, columns)
    corners = np.stack([index[1:, :-1], index[1:, 1:], index[:-1, 1:], index[:-1, :-1]], axis=2)
    there = (z > nothing + 1).reshape(-1)
    faces = corners.reshape(-1, 4)
    faces = faces[there[faces].all(axis=1)]
    uv = np.stack([(across - left) / (right - left), (down - low) / (high - low)], axis=2)
    return add("head", places, faces, material("skin", skin), uv.reshape(-1, 2))


def eyeball(side):
    x, y, z, radius = ORDER["eyes"]
    rings, around = 64, 96
    tilt = np.linspace(0, math.pi / 2, rings)
    turn = np.linspace(0, 2 * math.pi, around, endpoint=False)
    t, a = np.meshgrid(tilt, turn, indexing="ij")
    unit = np.stack([np.sin(t) * np.cos(a), np.sin(t) * np.sin(a), np.cos(t)], axis=2)
    bulge = 1 + 0.035 * np.clip(1 - (np.sin(t) / 0.5) ** 2, 0, 1)
    places = (unit * radius * bulge[..., None]).reshape(-1, 3)
    places += np.array([side * x, y, z])
    index = np.arange(rings * around).reshape(rings, around)
    beside = np.roll(index, -1, axis=1)
    faces = np.stack([index[:-1], index[1:], beside[1:], beside[:-1]], axis=2).reshape(-1, 4)
    uv = (unit[..., :2].reshape(-1, 2) + 1) / 2
    return add("eye", places, faces, material("eye", eye), uv)


def strands(name, look, radius):
    """Each strand a thin prism with three sides."""
    lines = np.load(FOLDER / f"{name}.npy").astype(np.float64)
    count, length, _ = lines.shape
    along = np.gradient(lines, axis=1)
    along /= np.maximum(np.linalg.norm(along, axis=2, keepdims=True), 1e-9)
    side = np.cross(along, np.array([0.31, 0.17, 0.94]))
    side /= np.maximum(np.linalg.norm(side, axis=2, keepdims=True), 1e-9)
    other = np.cross(along, side)
    thin = radius * (1 - 0.85 * np.linspace(0, 1, length) ** 3)[None, :, None]
    corners = [
        lines + thin * (math.cos(angle) * side + math.sin(angle) * other)
        for angle in (0, 2 * math.pi / 3, 4 * math.pi / 3)
    ]
    places = np.stack(corners, axis=2).reshape(-1, 3)
    index = np.arange(count * length * 3).reshape(count, length, 3)
    beside = np.roll(index, -1, axis=2)
    faces = np.stack([index[:, :-1], beside[:, :-1], beside[:, 1:], index[:, 1:]], axis=3).reshape(
        -1, 4
    )
    return add(name, places, faces, look)


def light(place, size, watts, colour, aim=(0, -0.2, 0)):
    lamp = bpy.data.lights.new("light", "AREA")
    lamp.size, lamp.energy, lamp.color = size, watts, colour
    thing = bpy.data.objects.new("light", lamp)
    thing.location = place
    bpy.context.collection.objects.link(thing)
    point_at(thing, aim)


def point_at(thing, aim):
    from mathutils import Vector

    way = Vector(aim) - Vector(thing.location)
    thing.rotation_euler = way.to_track_quat("-Z", "Y").to_euler()


def main():
    for thing in list(bpy.data.objects):
        bpy.data.objects.remove(thing)
    dark = material("hair", plain(ORDER["hair"], 0.42, 0.6))
    parts = [relief(), eyeball(-1), eyeball(1)]
    parts.append(strands("hair", dark, 0.0045))
    parts.append(strands("brows", material("brow", plain(ORDER["brow"], 0.6, 0.2)), 0.0024))
    parts.append(
        strands("lashes", material("lash", plain((0.012, 0.009, 0.008), 0.6, 0.2)), 0.0019)
    )
    turned = bpy.data.objects.new("turn", None)
    bpy.context.collection.objects.link(turned)
    for part in parts:
        part.parent = turned
    turned.rotation_euler = (0, math.radians(ORDER["yaw"]), 0)

    wall = np.array([[-30, -20, -7], [30, -20, -7], [30, 20, -7], [-30, 20, -7]], float)
    add("wall", wall, np.array([[0, 1, 2, 3]]), material("wall", plain((0.30, 0.33, 0.36), 0.9)))
    light((-3.2, 3.2, 5.0), 2.6, 430, (1.0, 0.96, 0.90))
    light((4.2, 0.8, 4.6), 3.6, 120, (0.92, 0.96, 1.0))
    light((2.4, 3.0, -3.4), 1.6, 210, (1.0, 0.97, 0.94))
    light((-1.5, 2.5, -4.5), 2.5, 260, (0.95, 0.97, 1.0), aim=(-1.0, 0.5, -7))
    world = bpy.data.worlds.new("world")
    world.use_nodes = True
    world.node_tree.nodes["Background"].inputs[0].default_value = (0.80, 0.88, 1.0, 1)
    world.node_tree.nodes["Background"].inputs[1].default_value = 0.22

    camera = bpy.data.cameras.new("camera")
    camera.lens, camera.sensor_width, camera.sensor_fit = 85, 24, "VERTICAL"
    camera.sensor_height = 30
    eyepoint = bpy.data.objects.new("camera", camera)
    eyepoint.location = (0, -0.30, 10.6)
    bpy.context.collection.objects.link(eyepoint)
    scene = bpy.context.scene
    scene.world, scene.camera = world, eyepoint
    scene.render.engine = "CYCLES"
    scene.cycles.samples = ORDER["samples"]
    scene.cycles.use_adaptive_sampling = False
    scene.cycles.seed = 1
    scene.cycles.max_bounces = 5
    scene.render.resolution_y = ORDER["height"]
    scene.render.resolution_x = 2 * round(ORDER["height"] * 0.4)
    scene.render.filepath = str(FOLDER / "photo.png")
    scene.view_settings.view_transform = "Filmic"
    scene.view_settings.look = "Medium High Contrast"
    scene.view_settings.exposure = 0.35
    try:
        scene.cycles.use_denoising = True
        bpy.ops.render.render(write_still=True)
    except RuntimeError:
        scene.cycles.use_denoising = False
        bpy.ops.render.render(write_still=True)


main()
