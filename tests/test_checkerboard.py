"""The energy at the Nyquist frequency: of patterns made by hand, and against the discrete Fourier transform."""

import numpy as np
import pytest

from vaecourse.measures import checkerboard_energy

i, j = np.indices((6, 8))
PATTERNS = {"columns": (-1.0) ** j, "rows": (-1.0) ** i, "checkerboard": (-1.0) ** (i + j)}


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_has_the_square_of_its_amplitude(pattern):
    image = 0.5 + 0.1 * PATTERNS[pattern]
    assert np.isclose(checkerboard_energy(image[np.newaxis, ..., np.newaxis])[0], 0.01)


def test_patterns_add_up_and_channels_are_averaged():
    three = 0.1 * PATTERNS["columns"] + 0.2 * PATTERNS["rows"] - 0.3 * PATTERNS["checkerboard"]
    image = np.stack([three, 0 * three], axis=-1)[np.newaxis]
    assert np.isclose(checkerboard_energy(image)[0], (0.01 + 0.04 + 0.09) / 2)


@pytest.mark.parametrize("image", [np.ones((6, 8)), i / 6, j**2 / 64], ids=["flat", "slope", "curve"])
def test_smooth_images_have_little(image):
    assert checkerboard_energy(image[np.newaxis, ..., np.newaxis])[0] < 0.015


def test_it_is_three_coefficients_of_the_fourier_transform():
    images = np.random.default_rng(0).random((5, 6, 8, 3))
    coefficients = np.fft.fft2(images, axes=(1, 2)) / (6 * 8)
    three = [coefficients[:, a, b] for a, b in ((0, 4), (3, 0), (3, 4))]
    np.testing.assert_allclose(checkerboard_energy(images), np.sum(np.abs(three) ** 2, axis=0).mean(axis=-1))


def test_of_noise_it_is_three_variances_for_the_number_of_pixels():
    energies = checkerboard_energy(np.random.default_rng(0).normal(size=(4000, 6, 8, 1)))
    error = energies.std() / np.sqrt(len(energies))
    assert abs(energies.mean() - 3 / 48) < 5 * error


@pytest.mark.parametrize("shape", [(6, 8, 1), (2, 7, 8, 1), (2, 6, 9, 3), (0, 6, 8, 1)])
def test_other_arrays_are_refused(shape):
    with pytest.raises(ValueError, match="of even height and width, got"):
        checkerboard_energy(np.zeros(shape))
