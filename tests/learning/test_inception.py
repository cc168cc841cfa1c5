"""Inception for the FID: a file of weights, read or refused."""

import re

import pytest
import torch

from identbox.errors import IdentboxError
from identbox.learning.inception import CLASSES, FEATURES, Inception, inception_features, load_inception

PARAMETERS = 21_785_568  # of Inception v3 without its last layer and its auxiliary head


@pytest.fixture(scope="module")
def weights():
    """Random weights in the format of pytorch-fid's file."""
    generator = torch.Generator().manual_seed(0)
    state = Inception().state_dict()
    for name, values in state.items():
        if name.endswith("running_var"):
            values.uniform_(0.5, 1.5, generator=generator)
        elif values.dim() == 4:  # so that signals keep their size
            values.normal_(0, (2 / values[0].numel()) ** 0.5, generator=generator)
    head = torch.zeros(CLASSES, FEATURES), torch.zeros(CLASSES)
    return {**state, "fc.weight": head[0], "fc.bias": head[1]}


@pytest.fixture
def file(weights, tmp_path):
    path = tmp_path / "weights.pth"
    torch.save(weights, path)
    return path


def test_the_network_has_the_size_of_inception_v3():
    assert sum(parameter.numel() for parameter in Inception().parameters()) == PARAMETERS


def test_features_depend_on_no_other_image_and_not_on_how_many_there_are(file):
    network = load_inception(file)
    images = torch.rand(3, 3, 28, 28, generator=torch.Generator().manual_seed(1))
    whole = inception_features(network, images)
    assert whole.shape == (3, FEATURES)
    assert not network.training
    torch.testing.assert_close(inception_features(network, images[1:2]), whole[1:2], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(whole[0], whole[1])


def test_one_channel_counts_three_times(file):
    network = load_inception(file)
    grey = torch.rand(1, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(
        inception_features(network, grey), inception_features(network, grey.expand(-1, 3, -1, -1))
    )


def test_older_files_do_not_count_batches(weights, tmp_path):
    path = tmp_path / "older.pth"
    torch.save({k: v for k, v in weights.items() if "num_batches" not in k}, path)
    assert isinstance(load_inception(path), Inception)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w | {"fc.weight": torch.zeros(1000, FEATURES)}, "got (1000, 2048) for (1008, 2048) at"),
        (lambda w: w | {"AuxLogits.fc.bias": torch.zeros(1000)}, "got (1000,) for no at 'AuxLogits.fc.bias'"),
        (lambda w: {k: v for k, v in w.items() if k != "fc.bias"}, "got none for (1008,) at 'fc.bias'"),
        (lambda w: {}, "got none for (32, 3, 3, 3) at 'Conv2d_1a_3x3.conv.weight'"),
    ],
)
def test_weights_of_another_network(weights, tmp_path, change, message):
    path = tmp_path / "other.pth"
    torch.save(change(weights), path)
    with pytest.raises(IdentboxError, match=re.escape(message)):
        load_inception(path)


def test_a_file_that_is_missing_or_damaged(tmp_path):
    with pytest.raises(IdentboxError, match="none.pth"):
        load_inception(tmp_path / "none.pth")
    (tmp_path / "cut.pth").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(IdentboxError, match="expected the weights of Inception for the FID, got"):
        load_inception(tmp_path / "cut.pth")
