"""The patch discriminator: what a score sees, and that no zeros enter at the edges."""

import pytest

torch = pytest.importorskip("torch")

from stem_plugins.restoration import PatchDiscriminator  # noqa: E402


def network(**options):
    torch.manual_seed(0)
    return PatchDiscriminator(**options).double()


def without_normalisation(discriminator):
    """Normalisation couples all patches of an image; without it, what a patch sees is bounded."""
    for number, layer in enumerate(discriminator.layers):
        if isinstance(layer, torch.nn.InstanceNorm2d):
            discriminator.layers[number] = torch.nn.Identity()
    return discriminator


def test_shape_of_the_published_result():
    discriminator = network(features=4)
    assert discriminator(torch.zeros(3, 1, 256, 256).double()).shape == (3, 1, 32, 32)
    assert discriminator(torch.zeros(1, 1, 64, 96).double()).shape == (1, 1, 8, 12)


def test_a_score_sees_70_pixels():
    image = torch.zeros(1, 1, 256, 256, dtype=torch.float64, requires_grad=True)
    score = without_normalisation(network(features=4))(image)
    score[0, 0, 16, 16].backward()
    rows, columns = torch.nonzero(image.grad[0, 0], as_tuple=True)
    assert rows.max() - rows.min() + 1 == 70
    assert columns.max() - columns.min() + 1 == 70


def test_no_zeros_enter_at_the_edges():
    """A constant image looks the same everywhere only if nothing else is seen at its rim."""
    score = without_normalisation(network(features=4))(torch.ones(1, 1, 64, 64).double())
    torch.testing.assert_close(score, score[:, :, :1, :1].expand_as(score))


def test_scores_do_not_depend_on_the_rest_of_the_batch():
    images = torch.randn(3, 2, 64, 64, dtype=torch.float64)
    discriminator = network(channels=2, features=4)
    alone = torch.cat([discriminator(image[None]) for image in images])
    torch.testing.assert_close(discriminator(images), alone)


def test_scores_are_not_squashed():
    discriminator = network(features=4)
    with torch.no_grad():
        discriminator.layers[-1].weight.mul_(100)
    assert discriminator(torch.randn(1, 1, 64, 64).double()).abs().max() > 5


def test_small_images_are_refused():
    with pytest.raises(ValueError, match="24 × 24"):
        network()(torch.zeros(1, 1, 23, 64).double())
    assert network(features=4)(torch.randn(1, 1, 24, 24).double()).shape == (1, 1, 3, 3)
