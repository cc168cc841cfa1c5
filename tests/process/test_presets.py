import pytest

from conftest import ROOT
from identbox.errors import IdentboxError
from identbox.process import presets, tables
from identbox.process.effects import Interval


def test_multimodal3dident_is_table_4_1():
    process = presets.multimodal3dident()
    roles = {
        role: [v.name for v in process.variables if v.role == role]
        for role in ("content", "style", "specific")
    }
    assert roles["content"] == ["object_shape", "object_xpos", "object_ypos", "object_zpos"]
    assert roles["style"] == ["object_color"]
    image = {v.name for v in process.seen_by("image")}
    assert image == {
        "object_shape", "object_xpos", "object_ypos", "object_zpos", "object_alpharot", "object_betarot",
        "object_gammarot", "object_color", "spotlight_pos", "spotlight_color", "background_color",
    }  # fmt: skip
    assert process["object_color"].effects == {"object_xpos": Interval()}
    assert tables.load_process("multimodal3dident-independent")["object_color"].effects == {}


def test_the_multi_view_setting_has_no_specific_blocks():
    process = presets.numerical_simulation(specific=0)
    assert [v.name for v in process.variables] == ["content", "style"]


def test_an_unknown_process_is_refused_with_the_names_of_the_known_ones(tmp_path):
    with pytest.raises(
        IdentboxError, match="process: expected one of multimodal3dident, .* or a TOML file; got m3di"
    ):
        tables.load_process("m3di")
    with pytest.raises(IdentboxError, match="none.toml: expected a TOML file, got No such file"):
        tables.load_process(tmp_path / "none.toml")
    path = tmp_path / "p.toml"
    path.write_text('base = "nobody"')
    with pytest.raises(IdentboxError, match="p.toml: base: expected one of multimodal3dident.*; got nobody"):
        tables.load_process(path)


def test_a_file_starts_from_a_preset(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        'base = "multimodal3dident"\n'
        '[variables.background_color]\nrole = "specific"\nview = "image"\ndistribution = "uniform"\n'
        'effects.object_shape.kind = "interval"\n'
    )
    process = tables.load_process(path)
    assert process.name == "mine"
    assert process["background_color"].effects == {"object_shape": Interval()}
    assert process["object_color"].effects == {"object_xpos": Interval()}


def test_the_example_of_the_repository_is_what_it_says():
    process = tables.load_process(ROOT / "simulations" / "shape_causes_background.toml")
    assert list(process["background_color"].effects) == ["object_shape"]
    assert process["object_ypos"].role == "style"
