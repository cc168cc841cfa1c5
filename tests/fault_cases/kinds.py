# ruff: noqa: E501
"""The kinds of faults that nothing in identbox may have, and the tests that hold each of them.

A kind is held when its unseen relatives fail as they should too, not when one example passes. Who finds another fault
adds its example to a test here, or a row in `situations`, and mends the kind. A test is named by its file and function,
a row of `situations` by what it does.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of fault: what would be wrong, the tests that find it, and the rows of `situations`."""

    what: str
    tests: tuple[str, ...] = ()
    situations: tuple[str, ...] = ()


KINDS = {
    # Wrong images under right labels.
    "A": Kind(
        what="a mesh is placed by a centre that its winding, holes, mirroring or distance from the origin have spoilt",
        tests=(
            "rendering/test_meshes.py::test_a_mesh_is_placed_alike_however_its_file_says_it",
            "rendering/test_meshes.py::test_a_mirrored_mesh_is_placed_as_the_mirror_image",
            "rendering/test_meshes.py::test_a_part_that_nobody_sees_moves_no_mesh",
            "rendering/test_meshes.py::test_meshes_that_cannot_be_shown_are_refused",
            "rendering/test_placement.py::test_check_finds_rendered_objects_and_names_images_that_show_another_cell",
            "rendering/test_placement.py::test_an_image_without_a_visible_object_is_named",
        ),
    ),
    "B": Kind(
        what="a scene file shows more or less than Blender renders of its active scene",
        tests=(
            "rendering/test_scene_files.py::test_scenes_are_taken_as_blender_renders_them",
            "rendering/test_meshfiles.py::test_of_a_glb_the_active_scene_alone_is_kept_and_the_others_are_named",
        ),
    ),
    "C": Kind(
        what="a mesh file is read as another shape because of its line ends, byte order mark or comments",
        tests=(
            "rendering/test_meshfiles.py::test_an_obj_says_the_same_however_it_is_written",
            "rendering/test_meshfiles.py::test_an_obj_that_would_be_torn_is_refused",
            "rendering/test_meshfiles.py::test_a_ply_says_the_same_in_any_form",
            "rendering/test_meshfiles.py::test_a_ply_whose_header_alone_ends_otherwise_is_read",
            "rendering/test_meshfiles.py::test_a_ply_of_text_that_would_be_torn_is_refused",
            "rendering/test_meshfiles.py::test_an_stl_of_text_says_the_same_however_it_is_written",
        ),
    ),
    "D": Kind(
        what="a coordinate that is no number becomes a place",
        tests=(
            "rendering/test_meshfiles.py::test_a_glb_with_a_coordinate_that_is_not_a_number_is_refused",
            "rendering/test_meshfiles.py::test_an_stl_has_its_triangles_and_no_coordinate_that_is_not_a_number",
            "rendering/test_shapes.py::test_a_binary_file_with_a_coordinate_that_is_not_a_number_is_refused",
        ),
    ),
    "AE": Kind(
        what="a worker without its parent, or a second command, writes images of another recipe",
        tests=(
            "test_machines.py::test_a_worker_writes_nothing_into_a_folder_that_is_anothers",
            "rendering/test_workers.py::test_a_killed_run_continues_and_renders_no_image_again",
            "rendering/test_parts.py::test_a_dataset_that_a_process_renders_is_not_replaced",
        ),
    ),
    "AF": Kind(
        what="two exports into one folder mix their shards",
        tests=("test_files.py::test_of_two_processes_that_fill_one_folder_one_makes_it_and_the_other_learns_that",),
    ),
    "V": Kind(
        what="the environment changes pixels",
        tests=("test_machines.py::test_what_changes_pixels_is_kept_from_blender_and_named",),
    ),
    # A folder of a stranger.
    "W": Kind(
        what="a name within a file leads to a place outside the folder",
        tests=("test_files.py::test_names_from_files_that_are_no_names_are_refused",),
        situations=("a split that leads out", "an absolute path for a split", "a cell that leads out"),
    ),
    "AD": Kind(
        what="a link that waits under a name that identbox will write to is followed, or published",
        tests=("test_files.py::test_a_temporary_file_is_new_and_a_link_that_waits_for_it_is_not_followed",),
        situations=(
            "links where a report is written", "a link to the user's file, exported", "an image that is a link outwards",
        ),
    ),
    "X": Kind(
        what="an image file is another kind of file, has other bits, or unpacks to very many pixels",
        tests=("data/test_photographs.py::test_pictures_that_are_no_pictures_of_a_user_are_refused",),
        situations=(
            "JPEG in a .png", "JPEG in a .png, exported", "grey of 16 bits", "an EPS in a .png", "196 million pixels",
        ),
    ),
    "Y": Kind(
        what="a pipe or a device in the place of a file waits for ever, or fills the memory",
        tests=(
            "test_files.py::test_only_regular_files_are_read_and_none_that_is_too_large",
            "fuzz/test_strangers.py::test_no_file_waits_or_fills_the_memory",
        ),
        situations=(
            "a pipe for dataset.toml", "a pipe for train/images/00.png", "a pipe for train/text/text_raw.txt",
            "a pipe for a shard", "a pipe for a Parquet file", "a device for a table",
        ),
    ),
    "Z": Kind(
        what="a mesh file makes Blender read other files",
        tests=(
            "rendering/test_scene_files.py::test_a_blend_that_links_to_another_file_is_refused",
            "rendering/test_meshfiles.py::test_a_glb_that_reads_other_files_or_is_malformed_is_refused",
        ),
    ),
    "AA": Kind(
        what="a value of another type or size than a file should hold ends in a traceback",
        tests=(
            "test_readers.py::test_no_module_but_a_reader_opens_files_of_its_kind",
            "test_files.py::test_json_that_no_reader_can_take_is_refused_in_one_line",
            "data/test_exports.py::test_damaged_shards_are_named",
            "fuzz/test_damaged_files.py::test_records_of_runs",
            "fuzz/test_damaged_files.py::test_files_of_datasets",
            "fuzz/test_strangers.py::test_checkpoints_of_other_values",
            "fuzz/test_strangers.py::test_archives_of_other_members",
            "fuzz/test_strangers.py::test_parquet_of_other_columns",
        ),
        situations=(
            "10^12 samples", "an integer of 5 000 digits", "a word for a number", "a folder that is called cube.obj",
            "10^400 for a time", "half of a surrogate pair", "a vocabulary of lists in lists",
            "a member of 2^60 bytes", "a member of negative size", "a Parquet file of other columns",
        ),
    ),
    "AB": Kind(
        what="a name reaches a terminal, a page, a card or a table as a command of that format",
        tests=(
            "fuzz/test_strangers.py::test_a_name_is_text_in_every_format_of_a_table",
            "fuzz/test_strangers.py::test_a_name_is_text_in_the_card_of_a_dataset",
            "fuzz/test_strangers.py::test_a_name_is_text_in_the_graph_of_a_process",
            "fuzz/test_strangers.py::test_a_name_is_text_in_the_report_of_a_sweep",
        ),
        situations=("a sentence with escape codes", "a title with markup and codes"),
    ),
    # Texts and tables of users.
    "K": Kind(
        what="a byte order mark, quotes or row numbers become part of a name or a value",
        tests=("test_files.py::test_text_is_read_with_and_without_a_byte_order_mark_and_with_any_line_end",),
        situations=("a byte order mark and Windows' line ends", "quotes and row numbers"),
    ),
    "L": Kind(
        what="a file that a system put beside the images counts as an image",
        situations=("files of macOS beside the images", "a copy that a browser made"),
    ),
    "M": Kind(
        what="an export is no dataset to check",
        situations=("a whole export", "a whole Parquet export"),
    ),
    "N": Kind(
        what="members of a tar file are paired otherwise than webdataset pairs them",
        situations=("a tar that was packed again",),
    ),
    "E": Kind(
        what="a mesh that is a link to a file without an ending is not read",
        tests=(
            "test_files.py::test_a_link_may_lead_to_the_blobs_of_a_hub_and_nowhere_else_outside",
            "test_machines.py::test_a_mesh_in_the_cache_is_believed_only_as_this_user_wrote_it",
        ),
    ),
    "F": Kind(
        what="the name of a class is no word of a sentence",
        tests=("test_machines.py::test_class_names_are_words_of_a_sentence",),
    ),
    "G": Kind(
        what="a name that is not UTF-8 ends in a traceback",
        tests=("test_machines.py::test_a_folder_whose_name_is_not_utf_8_is_reported_on",),
    ),
    "P": Kind(
        what="content that does not vary ends a training in a traceback",
        tests=("experiments/test_factors.py::test_where_no_content_varies_nothing_is_said_of_it",),
    ),
    # Machines.
    "H": Kind(
        what="a mesh in the cache that was cut short is believed, or a cache that fails is blamed on the mesh",
        tests=(
            "test_machines.py::test_a_mesh_in_the_cache_is_believed_only_as_this_user_wrote_it",
            "test_machines.py::test_a_cache_that_cannot_be_written_is_done_without",
        ),
    ),
    "Q": Kind(
        what="a user without a home has no cache",
        tests=("test_machines.py::test_a_user_without_a_home_has_a_cache",),
    ),
    "R": Kind(
        what="a terminal that knows fewer characters ends a command",
        tests=("test_machines.py::test_a_terminal_that_knows_no_greek_shows_a_question_mark",),
    ),
    "S": Kind(
        what="a file gets the number of a standard stream that was closed",
        tests=("test_machines.py::test_no_file_that_is_opened_gets_the_number_of_a_stream_that_was_closed",),
    ),
    "T": Kind(
        what="a folder that may only be read is written to where nothing need be written, or ends in a traceback",
        tests=(
            "rendering/test_parts.py::test_a_whole_dataset_in_a_folder_that_is_read_only_is_left_as_it_is",
            "data/test_pixel_cache.py::test_a_dataset_that_cannot_be_written_has_its_cache_with_the_user",
        ),
        situations=(
            "a dataset that may only be read", "an export of what may only be read", "a sweep that may only be read",
        ),
    ),
    "U": Kind(
        what="the lease of a living process is taken, or that of a dead one kept, because of containers or clocks",
        tests=(
            "jobs/test_leases.py::test_a_clock_that_is_a_day_off_frees_no_living_lease_and_keeps_no_dead_one",
            "jobs/test_leases.py::test_the_number_of_a_process_means_nothing_in_another_container_or_when_it_is_used_again",
            "jobs/test_leases.py::test_a_lease_of_other_content_is_taken_when_it_does_not_change",
            "rendering/test_parts.py::test_a_part_that_overlaps_one_of_another_count_is_refused_while_that_is_rendered",
        ),
    ),
    "AG": Kind(
        what="a checkpoint that cannot be read for a moment counts as damaged, and is replaced",
        tests=(
            "learning/test_training.py::test_a_checkpoint_that_cannot_be_read_for_a_moment_is_not_replaced",
            "learning/test_training.py::test_a_damaged_checkpoint_is_reported_and_the_one_before_is_used",
        ),
    ),
    "AH": Kind(
        what="a cache that somebody else filled is believed",
        tests=(
            "test_files.py::test_a_file_of_a_cache_is_believed_only_as_it_was_written",
            "test_files.py::test_a_proof_is_this_users_alone",
            "data/test_pixel_cache.py::test_a_damaged_cache_is_made_again_with_a_message",
        ),
    ),
    "AI": Kind(
        what="what the system refuses is a traceback, or killed processes leave files for ever",
        tests=(
            "test_machines.py::test_what_the_system_refuses_is_one_line",
            "test_machines.py::test_too_little_memory_is_one_line",
            "test_files.py::test_what_killed_processes_left_long_ago_is_removed_and_nothing_else",
            "test_files.py::test_the_temporary_folders_of_dead_processes_are_removed_and_no_others",
        ),
        situations=("a table that may not be read", "a shard that may not be read"),
    ),
    "AJ": Kind(
        what="a file of weights, a package or a wheel brings code or secrets that nobody asked for",
        tests=(
            "test_supply.py::test_every_package_of_the_tests_is_locked_with_a_hash",
            "test_supply.py::test_a_hostile_checkpoint_runs_no_command",
            "test_supply.py::test_the_wheel_carries_what_it_needs_and_nothing_else",
        ),
    ),
    "AK": Kind(
        what="a part of a dataset costs as much as the whole",
        tests=(
            "test_machines.py::test_a_part_of_a_split_draws_its_own_blocks_alone",
            "rendering/test_shape_checks.py::test_the_sizes_of_many_classes_are_compared_in_one_pass",
        ),
    ),
    "AL": Kind(
        what="a loss of power leaves an empty file under a final name",
        tests=("test_machines.py::test_checkpoints_and_records_are_on_the_disk_before_they_have_their_names",),
    ),
    "AC": Kind(
        what="a long command says nothing, or a signal ends it without a word",
        tests=(
            "rendering/test_shape_checks.py::test_figures_and_warnings",
            "commands/test_main.py::test_a_signal_during_an_import_stops_the_command_after_the_import",
        ),
    ),
}  # fmt: skip
